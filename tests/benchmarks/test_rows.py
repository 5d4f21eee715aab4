"""Every row of the table on inputs so small that it takes no time: it runs, and what it compares is equal."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import csr_array

from benchmarks import (
    checks,
    environment,
    features,
    flow,
    growth,
    harness,
    jaccard,
    losses,
    merging,
    neighbors,
    packages,
    retrieval,
    runner,
    table,
)
from benchmarks.harness import Case, Figures, Missing, Peer, Setting, run
from benchmarks.rates import Rates, Work

ROWS = 240


def small(*_, **__):
    return features.market(ROWS, 24)


@pytest.fixture(autouse=True)
def small_inputs(monkeypatch):
    for module in (neighbors, jaccard, merging, flow):
        monkeypatch.setattr(module, "market", small)
    sides = features.market_test(16, queries=60, gallery=900, distractors=120)
    monkeypatch.setattr(retrieval, "market_test", lambda *_, **__: sides)
    monkeypatch.setattr(losses, "PER_RUN", 1)
    monkeypatch.setattr(growth, "large", lambda n: features.large(n // 40, 16))


NAMES = [name for name in runner.jobs() if not name.startswith(("input", "ResNet"))]  # these are seconds, and pixels


@pytest.mark.parametrize("name", NAMES)
def test_what_a_row_compares_is_equal(name):
    try:
        cases = list(runner.jobs()[name](Setting()))
    except Missing as reason:
        pytest.skip(str(reason))
    for case in cases:
        ours, compared = run(case, 1, 1)
        assert ours.seconds > 0
        assert all(peer.figures or peer.note == "not installed" for peer in compared), compared
        assert len(table.lines(name, case.size, ours, compared, 1.0)) == len(compared)


def test_a_difference_is_seen_by_every_check():
    """Each check refuses the output of another input: it looks at all that it is given."""
    for name in NAMES:
        if name.startswith("Infomap"):
            continue
        for case in runner.jobs()[name](Setting()):
            ours = case.ours()
            for peer in case.peers:
                if peer.call is not None:
                    with pytest.raises(AssertionError):
                        peer.check(ours, disturbed(peer.call()))


def disturbed(output):
    if isinstance(output, tuple):
        return (disturbed(output[0]), *output[1:])
    changed = np.array(output, copy=True) if not isinstance(output, float) else output
    if np.ndim(changed) == 0:
        return changed + 0.1
    changed[len(changed) // 2] = changed[len(changed) // 2] + 1
    return changed


def test_a_peer_that_differs_is_named_and_not_measured():
    case = Case("2", lambda: 1, [Peer("other", lambda: 2, equal), Peer("same", lambda: 1, equal)])
    _, (other, same) = run(case, 2, 1)
    assert other.differs and other.figures is None and "DIFFERS" in other.note
    assert same.figures and not same.differs


def equal(ours, peer):
    assert ours == peer, "not equal"


def test_peers_that_cannot_run_say_why():
    peers = [Peer("absent", None, equal), Peer("huge", lambda: 1, equal, needs=1e18)]
    _, (absent, huge) = run(Case("", lambda: 1, peers), 1, 1)
    assert absent.note == "not installed" and huge.note == "needs 1,000,000,000 GB"
    assert absent.figures is huge.figures is None


def test_runs_alternate_and_a_slow_first_run_counts(monkeypatch):
    called = []
    case = Case("", lambda: called.append("ours"), [Peer("peer", lambda: called.append("peer"), lambda *_: None)])
    run(case, 3, 2)
    assert called == ["ours", "peer", *["ours", "peer"] * 2, "ours"]
    called.clear()
    monkeypatch.setattr(harness, "SLOW", 0.0)
    run(case, 3, 2)
    assert called == ["ours", "peer", "ours", "peer", "ours", "ours"]
    called.clear()
    run(replace(case, once=True, peers=()), 3, 2)
    assert called == ["ours"]


def test_memory_is_the_peak_above_what_was_there():
    _, _, memory = harness.measure(lambda: len(np.ones(10_000_000)))
    if not math.isnan(memory):
        assert 75e6 < memory < 120e6


def test_the_limit_is_the_time_of_the_products():
    rates = Rates(bfloat16=4e9, float32=2e9, names=("torch", "numpy"))
    assert rates.seconds(Work(bfloat16=8e9, float32=1e9)) == 2.5
    (text,) = table.lines("stage", "size", Figures(5.0, 2e6), [], 2.5)
    assert [cell.strip() for cell in text.strip("|").split("|")] == [
        "stage, size", "none can", "5.00 s", "", "", "2 MB", "", "50 %",
    ]  # fmt: skip


def test_growth_says_how_much():
    lines = list(growth.table(Setting(), 1))
    assert len(lines) == 6 and "linearly" in lines[-1]


def test_a_broken_row_is_told_and_the_others_go_on(capsys, monkeypatch):
    def broken(setting):
        raise RuntimeError("no luck\nat all")
        yield

    rates = Rates(1e12, 1e12)
    monkeypatch.setattr(runner, "measure_rates", lambda: rates)
    monkeypatch.setattr(runner, "jobs", lambda: {"broken": broken, "BUC": merging.buc})
    assert runner.main(Setting(), "b", 1, 1) == 1
    said = capsys.readouterr().out
    assert "FAILED: RuntimeError: no luck" in said and "published, dense" in said
    assert runner.main(Setting(), "nothing like it", 1, 1) == 1
    assert "there are: broken, BUC" in capsys.readouterr().out


def test_the_environment_names_blas_and_threads():
    text = "\n".join(environment.lines())
    assert "processor: " in text and "threads: ours" in text and "numpy" in text


def test_modules_of_two_checkouts_do_not_mix(tmp_path):
    for number in (1, 2):
        folder = tmp_path / str(number) / "reid"
        folder.mkdir(parents=True)
        (folder / "__init__.py").write_text("raise ImportError('not to be run')")
        (folder / "helper.py").write_text(f"VALUE = {number}")
        (folder / "part.py").write_text("from reid.helper import VALUE\nfrom reid.absent import anything\n")
    found = [packages.from_checkout(tmp_path / str(n), "reid.part", ["reid.absent"]).VALUE for n in (1, 2)]
    assert found == [1, 2]
    assert "reid" not in __import__("sys").modules


def test_neighbors_may_differ_only_where_they_tie():
    indices, similarity = np.array([[0, 1, 2, 3]]), np.array([[1, 0.9, 0.9, 0.5]], np.float32)
    checks.same_neighbors((indices, similarity), (indices[:, [0, 2, 1, 3]], similarity))
    with pytest.raises(AssertionError, match="1 neighbors differ"):
        checks.same_neighbors((indices, similarity), (indices[:, [1, 0, 2, 3]], similarity))


def test_a_graph_must_have_every_near_pair_and_no_other():
    dense = np.array([[0, 0.3, 0.9], [0.3, 0, 0.5], [0.9, 0.5, 0]])
    rows, columns = np.nonzero(dense <= 0.6)
    for kept, wrong in ((slice(None), False), (slice(0, -1), True)):
        graph = csr_array((dense[rows, columns][kept], (rows[kept], columns[kept])), shape=(3, 3))
        with pytest.raises(AssertionError, match="pairs within") if wrong else nullcontext():
            checks.same_graph(graph, dense, 0.6)
    with pytest.raises(AssertionError):
        checks.same_graph(csr_array((dense[rows, columns] + 1e-5, (rows, columns)), shape=(3, 3)), dense, 0.6)
