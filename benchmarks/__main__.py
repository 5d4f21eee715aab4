"""`python -m benchmarks`: ours beside the published algorithms and the packages a user would pick, in one table.

About 5,000 rows and three minutes on two cores; --full has the sizes of the public data sets. Outputs are compared first;
the exit status is 1 if any differ.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from benchmarks import blas

CHECKOUTS = ("torchreid", "fastreid", "cluster-contrast", "buc", "dbc")


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--full", action="store_true", help="the sizes of Market-1501 and MSMT17, and 100,000 rows")
    parser.add_argument("--million", action="store_true", help="also 1,000,000 x 256, once: minutes, 8 GB in all")
    parser.add_argument("--only", default="", metavar="TEXT", help="rows whose stage holds this text; 'growth' is one")
    parser.add_argument("--repeats", type=int, default=5, metavar="N", help="measured runs of ours (default 5)")
    parser.add_argument("--peer-repeats", type=int, metavar="N", help="measured runs of each peer (default: --repeats)")
    parser.add_argument(
        "--checkout",
        action="append",
        default=[],
        metavar="NAME=PATH",
        help=f"another repository to compare with: {', '.join(CHECKOUTS)}; may be repeated",
    )
    parser.add_argument(
        "--blas",
        default="auto",
        metavar="KERNELS",
        help="OpenBLAS kernels of NumPy and faiss: auto measures first which are the best of each; default; "
        "or a name, such as Haswell",
    )
    found = parser.parse_args()
    found.checkouts = {}
    for given in found.checkout:
        name, _, path = given.partition("=")
        if name not in CHECKOUTS or not Path(path).is_dir():
            parser.error(f"--checkout takes NAME=FOLDER with NAME one of {', '.join(CHECKOUTS)}; got {given!r}")
        found.checkouts[name] = Path(path).resolve()
    if min(found.repeats, found.peer_repeats or 1) < 1:
        parser.error("--repeats and --peer-repeats must be at least 1")
    return found


def choose_kernels(name: str) -> None:
    """Set what OpenBLAS reads when it is loaded: this runs before NumPy is imported."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # waiting threads of one library would steal the others' cores
    if name != "auto":
        if name != "default":
            os.environ["OPENBLAS_CORETYPE"] = name
        return
    if os.environ.get("OPENBLAS_CORETYPE"):
        return
    for library, (best, rates) in blas.best_kernels().items():
        print(blas.told(library, best, rates))
        if best != "default":
            os.environ["OPENBLAS_CORETYPE" if library == "numpy" else blas.OF_FAISS] = best


def main() -> int:
    chosen = options()
    choose_kernels(chosen.blas)
    from benchmarks import runner  # imports NumPy, with the kernels chosen
    from benchmarks.harness import Setting

    setting = Setting(chosen.full, chosen.million, chosen.checkouts)
    return min(runner.main(setting, chosen.only, chosen.repeats, chosen.peer_repeats or chosen.repeats), 1)


if __name__ == "__main__":
    sys.exit(main())
