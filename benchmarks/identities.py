"""`python -m benchmarks.identities OUT --shared SHARED`: who is who without labels, beside others who were told.

`reunite.identify` is given embeddings, and cameras or not, and no setting. The others get the setting of a grid that scores
best with the labels, on the embeddings as they are and on the same ones with the mean of each camera taken out. What is looked
at: the gallery of Market-1501 (features of a public network; SHARED/data), rendered walkers and characters of alphabets that
were not trained on, with small networks that were adapted without labels, vehicles seen by ImageNet's networks, and folders of
your own with a subfolder for each individual (`--folders`), seen by the same. Embeddings and scores are kept in OUT, and what
is there is not made again, so the command may be divided over processes with --only; --again computes the scores of `identify`
anew. `--growth DRAWS` prints instead how many images keep their number when a fifth is added, `--sizes N ...` how long N
made-up embeddings take, and how much memory.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np

import reunite
from benchmarks import features
from benchmarks.harness import measure
from benchmarks.identity_peers import GRIDS, PEERS, Score, best
from benchmarks.identity_sets import Known, Named, every_set, load
from benchmarks.results import spread
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.files import replacing
from reunite.identities.centering import camera_means, without
from reunite.identities.choose import choose
from reunite.identities.look import averaged
from reunite.identities.numbering import keep_numbers
from reunite.identities.whitening import Space

OURS = "`identify`, no labels"
SIDES = ("not used", "used")
"""Whether cameras are. Embeddings from which the mean of each camera is taken out are what others get where they are used."""

Scores = dict[str, dict[str, Score]]
"""By side and method."""


def centred(known: Known, side: str) -> np.ndarray:
    return known.rows if side == SIDES[0] else without(known.rows, camera_means(known.rows, known.camera))


def found(
    known: Known, side: str, k1: int | None = None, eps: float | None = None, half_whitened: bool | None = None
) -> Score:
    """What `identify` makes of the embeddings."""
    camera = None if side == SIDES[0] else known.camera
    result = reunite.identify(known.rows, camera, k1=k1, eps=eps, half_whitened=half_whitened)
    setting = f"k1 {result.evidence.k1}, eps {result.eps:g}"
    if result.evidence.half_whitened:
        setting += ", half-whitened"
    return Score.of(result.labels, known.identity, setting)


def first_pass(known: Known, side: str) -> Score:
    """The clusters that `identify` learns its whitening from."""
    rows = centred(known, side)
    choice = choose(rows)
    chosen = choice.evidence
    rows = Space(choice.whitening)(rows)
    graph = reunite.jaccard_graph(rows, chosen.k1, averaged(chosen.k1), FARTHEST)
    return Score.of(sparse_linkage_tree(graph).cut(chosen.eps), known.identity)


VARIANTS: dict[str, Callable[[Known, str], Score]] = {
    OURS: found,
    "not whitened": first_pass,
    "never half-whitened": lambda known, side: found(known, side, half_whitened=False),
    "always half-whitened": lambda known, side: found(known, side, half_whitened=True),
    "k1 25": lambda known, side: found(known, side, k1=25),
    "k1 25, eps 0.7": lambda known, side: found(known, side, k1=25, eps=0.7),
}


def scores_of(named: Named, shared: Path, out: Path, again: bool) -> Scores:
    """What is kept in `out`, and what is not there yet."""
    file = out / "scores" / f"{named.name}.json"
    stored = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    kept: Scores = {side: {name: Score(**score) for name, score in stored.get(side, {}).items()} for side in SIDES}
    known = None
    for name in (*VARIANTS, *PEERS):
        for side in SIDES:
            if name in kept[side] and not (again and name in VARIANTS):
                continue
            known = known or load(named, shared, out)
            if name in VARIANTS:
                kept[side][name] = VARIANTS[name](known, side)
            else:
                kept[side][name] = best(name, centred(known, side), known.identity)
            print(f"{named.name}, cameras {side}, {name}: {kept[side][name]}", file=sys.stderr, flush=True)
            with replacing(file) as temporary:
                rows = {each: {one: asdict(score) for one, score in row.items()} for each, row in kept.items()}
                temporary.write_text(json.dumps(rows, indent=1), "utf-8")
    return kept


TOLD = "not whitened, k1 and eps by labels"
"""What is printed for "same linkage": no other clusterer, but what a better choice could be worth."""

COMPARED = tuple(name for name in PEERS if name != "same linkage")


def print_scores(groups: dict[str, list[Scores]]) -> None:
    """ARI and pairwise F of ours and of others, the mean over seeds; the best ARI is bold."""
    print("\n### ARI / pairwise F: ours without labels, others with the setting that labels say is best\n")
    _head("data", "cameras", OURS, *COMPARED)
    for side in SIDES:
        for group, runs in groups.items():
            cells = []
            highest = max(_mean(runs, side, name) for name in (OURS, *COMPARED))
            for name in (OURS, *COMPARED):
                ari = spread([run[side][name].ari for run in runs], 3)
                f = np.mean([run[side][name].pairwise_f for run in runs])
                cells.append(f"**{ari}** / {f:.3f}" if _mean(runs, side, name) == highest else f"{ari} / {f:.3f}")
            _row(group, side, *cells)


def print_variants(groups: dict[str, list[Scores]]) -> None:
    """What helped: ARI with one thing left out or fixed, the mean over seeds."""
    print("\n### What helped: ARI of `identify` with one thing left out or fixed\n")
    _head("data", "cameras", "as it is", *(name for name in VARIANTS if name != OURS), TOLD)
    for group, runs in groups.items():
        for side in reversed(SIDES):
            names = (*VARIANTS, "same linkage")
            _row(group, side, *(f"{_mean(runs, side, name):.3f}" for name in names))


def print_settings(sets: list[tuple[Named, Scores]]) -> None:
    """Groups that were found, those that are alone included, and what was chosen."""
    print("\n### Groups found (of them of one image), and the settings that were chosen\n")
    _head("data", "cameras", OURS, *COMPARED, TOLD)
    for named, scores in sets:
        for side in SIDES:
            row = [scores[side][name] for name in (OURS, *COMPARED, "same linkage")]
            _row(named.name, side, *(f"{each.found:,} ({each.alone:,}): {each.setting}" for each in row))


def print_losses(groups: dict[str, list[Scores]]) -> None:
    """Where somebody who was told is ahead of ours, who was not."""
    print("\n### Lost\n")
    lost = 0
    for side in SIDES:
        for group, runs in groups.items():
            ours = _mean(runs, side, OURS)
            for name in COMPARED:
                theirs = _mean(runs, side, name)
                if theirs > ours:
                    lost += 1
                    print(f"- {group}, cameras {side}: {name} {theirs:.3f}, ours {ours:.3f} ({ours - theirs:+.3f})")
    print(f"\n{lost} of {len(groups) * len(SIDES) * len(COMPARED)} comparisons are lost.")


ADDED = 0.2
"""Images that are added, as a share of those before."""


def print_growth(sets: list[Named], shared: Path, out: Path, draws: int) -> None:
    """Images that keep their number when a random fifth is added, and what it costs: mean and spread over draws.

    As `reunite identify` does it: eps, k1 and space stay, and so do groups on a close call. Beside it, everything chosen anew.
    """
    print(f"\n### {ADDED:.0%} more images: share that keeps its number, and ARI of all, over {draws} draws\n")
    _head("data", "cameras", "kept", "lowest", "ARI", "kept, anew", "ARI, anew")
    for named in sets:
        known = load(named, shared, out)
        for side in SIDES:
            camera = None if side == SIDES[0] else known.camera
            drawn = np.array([_grown(known, camera, draw) for draw in range(draws)])
            cells = [
                f"{mean:.3f} ± {deviation:.3f}" for mean, deviation in zip(drawn.mean(0), drawn.std(0), strict=True)
            ]
            _row(named.name, side, cells[0], f"{drawn[:, 0].min():.3f}", *cells[1:])


def _grown(known: Known, camera: np.ndarray | None, draw: int) -> list[float]:
    """Share that keeps its number and ARI, with the earlier result and without."""
    count = len(known.rows)
    old = np.sort(np.random.default_rng(draw).permutation(count)[: round(count / (1 + ADDED))])
    first = reunite.identify(known.rows[old], None if camera is None else camera[old])
    previous = np.full(count, -1)
    previous[old] = first.labels
    kept = {"previous": previous, "eps": first.eps, "k1": first.evidence.k1, "space": first.space}
    figures = []
    for options in (kept, {}):
        labels = reunite.identify(known.rows, camera, **options).labels
        numbering = keep_numbers(labels, previous)
        figures += [numbering.kept / numbering.known, Score.of(labels, known.identity).ari]
    return figures


def print_sizes(sizes: list[int]) -> None:
    """Seconds and memory above the embeddings, by number of rows."""
    _head("embeddings", "individuals", "found", "ARI", "k1", "eps", "seconds", "MB above the embeddings")
    rows, _, camera = features.large(500)
    reunite.identify(rows, camera)  # compiles
    for size in sizes:
        rows, identity, camera = features.large(size)
        result, seconds, memory = measure(lambda rows=rows, camera=camera: reunite.identify(rows, camera))
        score = Score.of(result.labels, identity)
        _row(
            f"{size:,} x {rows.shape[1]}",
            f"{len(np.unique(identity)):,}",
            f"{score.found:,}",
            f"{score.ari:.3f}",
            f"{result.evidence.k1}",
            f"{result.eps:g}",
            f"{seconds:.1f}",
            f"{memory / 1e6:,.0f}",
        )


def _mean(runs: list[Scores], side: str, name: str) -> float:
    return float(np.mean([run[side][name].ari for run in runs]))


def _head(*names: str) -> None:
    _row(*names)
    print("|" + "---|" * len(names))


def _row(*cells: str) -> None:
    print("| " + " | ".join(cells) + " |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.identities", description=__doc__)
    parser.add_argument("out", type=Path, nargs="?", help="where embeddings and scores are kept")
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="the folder that holds data/")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of the networks that are adapted")
    parser.add_argument(
        "--folders", nargs="+", type=Path, default=[], help="others, with a subfolder for each individual"
    )
    parser.add_argument("--only", nargs="+", default=[""], metavar="TEXT", help="sets whose file name begins with one")
    parser.add_argument("--again", action="store_true", help="compute the scores of `identify` again")
    parser.add_argument("--growth", type=int, metavar="DRAWS", help="only who keeps a number when a fifth is added")
    parser.add_argument("--sizes", nargs="+", type=int, metavar="N", help="only time and memory of N embeddings")
    options = parser.parse_args()
    if options.sizes:
        print_sizes(options.sizes)
        return
    if options.out is None:
        parser.error("OUT is needed to keep embeddings and scores in")
    chosen = [each for each in every_set(options.seeds, options.folders) if each.name.startswith(tuple(options.only))]
    if options.growth:
        print_growth(chosen, options.shared, options.out, options.growth)
        return
    sets = [(each, scores_of(each, options.shared, options.out, options.again)) for each in chosen]
    groups: dict[str, list[Scores]] = defaultdict(list)
    for each, scores in sets:
        groups[each.group].append(scores)
    print(f"Grids of the others. {GRIDS}")
    print_scores(groups)
    print_losses(groups)
    print_variants(groups)
    print_settings(sets)


if __name__ == "__main__":
    main()
