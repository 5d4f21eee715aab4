"""`python -m benchmarks`: one table, under three minutes on two cores; --full for the sizes of the public data sets."""

from __future__ import annotations

import argparse
import os
import platform

import numba
import numpy as np
import torch
from rich.console import Console

from benchmarks import input_pipeline, jaccard, retrieval
from benchmarks.harness import print_table

MODULES = (input_pipeline, jaccard, retrieval)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--full", action="store_true", help="12,936 x 2,048 and 3,368 in 19,732 instead of about 5,000")
    parser.add_argument("--repeats", type=int, default=3, help="measured runs of each side (default 3)")
    options = parser.parse_args()
    console = Console()
    console.print(
        f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; torch {torch.__version__} "
        f"({torch.get_num_threads()} threads), numpy {np.__version__}, numba {numba.__version__}"
    )
    rows = []
    with console.status("measuring") as status:
        for module in MODULES:
            for row in module.rows(options.full, options.repeats):
                rows.append(row)
                status.update(f"measured {row.what}")
    print_table(rows, console)


if __name__ == "__main__":
    main()
