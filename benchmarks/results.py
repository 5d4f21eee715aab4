"""`python -m benchmarks.results RUN [RUN ...]`: run folders to the table of docs/results.md.

Runs of one recipe on one data set are one row, whatever their seeds: mean and, behind ±, the standard deviation over seeds.
"""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

from reunite import Run
from reunite.train.run import seconds_of

HEADER = (
    "| run | seeds | mAP untrained | mAP trained | rank-1 untrained | rank-1 trained | clusters | identities ARI | minutes |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def spread(values: list[float], digits: int = 1) -> str:
    text = f"{mean(values):.{digits}f}"
    return text if len(values) == 1 else f"{text} ± {stdev(values):.{digits}f}"


def row(runs: list[Run]) -> str:
    before = [json.loads((run.folder / "before.json").read_text("utf-8")) for run in runs]
    histories = [run.history() for run in runs]
    last = [history[-1] for history in histories]
    minutes = [sum(map(seconds_of, history)) / 60 for history in histories]
    cells = [
        f"{runs[0].about['name']} on {runs[0].about['dataset']}",
        ", ".join(str(run.about["seed"]) for run in runs),
        spread([100 * each["mAP"] for each in before]),
        f"**{spread([100 * each['mAP'] for each in last])}**",
        spread([100 * each["rank1"] for each in before]),
        spread([100 * each["rank1"] for each in last]),
        spread([float(each["clusters"]) for each in last], 0),
        spread([each["ari"] for each in last], 3),
        spread(minutes),
    ]
    return "| " + " | ".join(cells) + " |"


def main() -> None:
    groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for folder in sys.argv[1:]:
        run = Run.open(Path(folder))
        groups[run.about["recipe"], run.about["dataset"]].append(run)
    print(HEADER)
    for runs in groups.values():
        print(row(sorted(runs, key=lambda run: run.about["seed"])))


if __name__ == "__main__":
    main()
