"""The tables of `python -m benchmarks`, printed line by line."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks import (
    embedding,
    environment,
    flow,
    growth,
    input_pipeline,
    jaccard,
    losses,
    merging,
    neighbors,
    retrieval,
    table,
)
from benchmarks.harness import Job, Missing, Setting, run
from benchmarks.packages import optional
from benchmarks.rates import Rates, measure_rates

MODULES = (neighbors, jaccard, merging, flow, retrieval, losses, input_pipeline, embedding)
GROWTH = "growth"


def jobs() -> dict[str, Job]:
    """Every row by the name it is chosen by, in the order of the table."""
    return {name: job for module in MODULES for name, job in module.JOBS.items()}


def main(setting: Setting, only: str, repeats: int, peer_repeats: int) -> int:
    """Print the tables; the number of rows that differ or failed."""
    chosen = {name: job for name, job in jobs().items() if only.lower() in name.lower()}
    if not chosen and only.lower() not in GROWTH:
        print(f"no row is called like {only!r}; there are: {', '.join([*jobs(), GROWTH])}")
        return 1
    optional("faiss")  # loaded now, so that its BLAS is listed
    print("\n".join(environment.lines()))
    rates = measure_rates()
    print(f"products: {rates}\n")
    wrong = 0
    if chosen:
        print(
            f"Median seconds of {repeats} runs, peak memory above the inputs, peer / ours; limit: the products alone.\n"
        )
        print(table.head(), flush=True)
        for name, job in chosen.items():
            for text, failed in _lines(name, job, setting, rates, repeats, peer_repeats):
                wrong += failed
                print(text, flush=True)
    if only.lower() in GROWTH:
        print()
        for text in growth.table(setting, repeats):
            print(text, flush=True)
    return wrong


def _lines(
    name: str, job: Job, setting: Setting, rates: Rates, repeats: int, peer_repeats: int
) -> Iterator[tuple[str, bool]]:
    """Lines of the table, and whether something is wrong there."""
    try:
        for case in job(setting):
            ours, compared = run(case, repeats, peer_repeats)
            limit = rates.seconds(case.work) if case.work else None
            differing = any(peer.differs for peer in compared)
            yield "\n".join(table.lines(name, case.size, ours, compared, limit)), differing
            del case
    except Missing as reason:
        yield table.note(name, str(reason)), False
    except Exception as error:  # one broken row must not take the others with it
        first = (str(error).strip().splitlines() or [""])[0]
        yield table.note(name, f"FAILED: {type(error).__name__}: {first}"), True
