"""The neighborhood and the cut on made-up people, and what decides against loops over its definition."""

from typing import Any

import numpy as np
import pytest
from scipy.sparse import csr_array
from sklearn.metrics import adjusted_rand_score

import reunite.identities.choose as choose_module
import reunite.identities.look as look_module
import reunite.identities.support as support_module
from oracles.sparse_graphs import dense, separation_by_loops
from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.identities.choose import FEWEST
from reunite.identities.evidence import Evidence
from reunite.identities.look import (
    BETTER,
    CLEARLY,
    CUTS,
    EQUAL,
    FALLBACK,
    NEARLY,
    NEIGHBORHOODS,
    TENTH,
    WIDE,
    Asked,
    Look,
    averaged,
)
from reunite.identities.region import region
from reunite.identities.support import Support
from reunite.identities.whitening import Space, half_whitening
from reunite.neighbors.jaccard import jaccard_graph
from reunite.types import unit_rows


def choose(
    rows: np.ndarray, eps: float | None = None, k1: int | None = None, half: bool | None = None, seed: int = 0
) -> Evidence:
    """The evidence; the groups that come with it are those of the cut that was chosen, in the space that was chosen."""
    found = choose_module.choose(rows, eps, k1, half, seed=seed)
    assert len(found.rows) == len(found.labels)
    assert (found.whitening is not None) == found.evidence.half_whitened == ("half whitening" in found.evidence.chosen)
    if found.evidence.k1 is not None and len(found.rows) == len(rows):
        np.testing.assert_array_equal(found.rows, Space(half_whitening(rows) if found.whitening else None)(rows))
        graph = jaccard_graph(found.rows, found.evidence.k1, averaged(found.evidence.k1), FARTHEST)
        np.testing.assert_array_equal(found.labels, sparse_linkage_tree(graph).cut(found.evidence.eps))
    return found.evidence


def people(rng: np.random.Generator, count: int, each: int, d: int = 64, noise: float = 1.0) -> np.ndarray:
    who = np.repeat(rng.standard_normal((count, d)), each, axis=0)
    return unit_rows((who + noise * rng.standard_normal(who.shape)).astype(np.float32))


def test_few_neighbors_count_where_individuals_have_few_images(rng: np.random.Generator) -> None:
    few, many = choose(people(rng, 150, 2, noise=0.6)), choose(people(rng, 20, 20))
    assert few.k1 is not None and few.k1 <= 8
    assert many.k1 is not None and many.k1 >= 15
    assert few.clusters[(few.cuts == few.eps)].item() == pytest.approx(150, abs=10)
    assert many.clusters[(many.cuts == many.eps)].item() == pytest.approx(20, abs=2)
    for found in (few, many):
        assert found.eps in CUTS and found.chosen.startswith(f"{found.eps:g} was chosen")
        assert f"{found.k1} neighbors count." in found.chosen and found.curves[0][0] == "support"
        np.testing.assert_array_equal(found.cuts, CUTS)


@pytest.mark.parametrize("people_of", [(30, 2), (15, 2), (20, 3)])
def test_all_in_one_group_is_not_chosen(rng: np.random.Generator, people_of: tuple[int, int]) -> None:
    """Half of the rows as neighbors of each make one group of everybody, and make it again from any dimensions."""
    found = choose(people(rng, *people_of, noise=0.6))
    assert found.clusters[found.cuts == found.eps].item() == pytest.approx(people_of[0], rel=0.2)


@pytest.mark.parametrize("half", [False, True])
@pytest.mark.parametrize("d", [1, 2, 3, 24])
def test_support_is_what_the_definition_says(d: int, half: bool) -> None:
    rows = people(np.random.default_rng(1), 8, 5, d)
    found = choose(rows, k1=6, half=half, seed=3)
    random = np.random.default_rng(3)
    views = []
    for _ in range(4):
        dealt = random.permutation(d)
        for hand in (dealt[: d // 2], dealt[d // 2 :]):
            views.append(unit_rows(np.ascontiguousarray(rows[:, hand if len(hand) else dealt])))
    spaces = [Space(half_whitening(view) if half else None)(view) for view in (rows, *views)]
    graphs = [jaccard_graph(space, 6, averaged(6), FARTHEST) for space in spaces]
    trees = [sparse_linkage_tree(graph) for graph in graphs]
    for cut, clusters, separated, stable, support in zip(
        found.cuts, found.clusters, *(found.curve(name) for name in ("separation", "stability", "support")), strict=True
    ):
        labels, *halves = [tree.cut(cut) for tree in trees]
        own, other, _ = separation_by_loops(dense(graphs[0]), labels, [])
        margins = [a - b if a > 0 else 0 for a, b in zip(own, other, strict=True)]
        agreed = []
        for one, two in zip(halves[::2], halves[1::2], strict=True):
            trivial = len(set(one)) == len(set(two)) == 1 or len(set(one)) == len(set(two)) == len(rows)
            together = any(one[i] == one[j] and two[i] == two[j] for i in range(len(rows)) for j in range(i))
            agreed.append(adjusted_rand_score(one, two) if together and not trivial else 0.0)
        assert clusters == labels.max() + 1
        assert separated == pytest.approx(np.mean(margins), abs=1e-5)
        assert stable == pytest.approx(np.mean(agreed), abs=1e-5)
        assert support == pytest.approx(max(separated, 0) * max(stable, 0) ** 2)
    support = found.curve("support")
    as_good = [cut for cut, each in zip(found.cuts, support, strict=True) if each >= EQUAL * support.max()]
    assert found.eps == (max(as_good) if support.max() > 0 else FALLBACK)


@pytest.mark.parametrize(("count", "each"), [(60, 5), (20, 20), (150, 2), (12, 6), (4, 90)])
def test_from_the_largest_that_is_good_enough_to_where_smaller_is_no_better(
    rng: np.random.Generator, count: int, each: int
) -> None:
    found = choose(people(rng, count, each))
    support = dict(found.neighborhoods)
    narrow = [k1 for k1, _ in NEIGHBORHOODS]
    wide = [k1 for k1 in support if k1 not in narrow]
    assert list(support) == narrow + wide
    assert set(wide) <= {k1 for k1, _ in WIDE if k1 <= count * each // TENTH}
    strongest = max(support[k1] for k1 in narrow)
    if max(support.values()) > CLEARLY * strongest:
        assert found.k1 == max(support, key=lambda k1: support[k1])
    else:
        at = max(i for i, k1 in enumerate(narrow) if support[k1] >= NEARLY * strongest)
        while at and support[narrow[at - 1]] > BETTER * support[narrow[at]]:
            at -= 1
        assert found.k1 == narrow[at]
    assert found.curve("support").max() == pytest.approx(support[found.k1])


def test_wide_neighborhoods_count_for_individuals_of_many_images_and_not_for_kinds(rng: np.random.Generator) -> None:
    """Both come out again; kinds hardly nearer to each other than to the rest, and individuals much nearer."""
    many = choose(people(rng, 6, 150, noise=1.5))
    assert many.k1 is not None and many.k1 > NEIGHBORHOODS[-1][0]
    assert many.clusters[many.cuts == many.eps].item() == 6
    kind = 0.7 * np.repeat(rng.standard_normal((3, 64)), 300, axis=0)
    somebody = np.repeat(rng.standard_normal((450, 64)), 2, axis=0)
    pairs = unit_rows((kind + somebody + rng.standard_normal((900, 64))).astype(np.float32))
    found = choose(pairs)
    assert found.k1 is not None and found.k1 <= 8
    strongest = max(support for _, support in found.neighborhoods)
    assert choose(pairs, k1=90).curve("support").max() > CLEARLY * strongest  # so support alone would choose kinds


def test_of_many_rows_the_space_and_wide_neighborhoods_are_chosen_on_fewer(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    many = people(rng, 6, 90, noise=1.2)
    loud = people(rng, 60, 6, noise=0.7)
    loud[:, :6] += 1.5 * rng.standard_normal((360, 6)).astype(np.float32)
    loud = unit_rows(loud)
    looked = []
    measured = look_module.support

    def counted(rows: np.ndarray, *others: Any) -> list[Support]:
        looked.append(len(rows))
        return measured(rows, *others)

    monkeypatch.setattr(look_module, "support", counted)
    for rows, few in ((many, 520), (loud, 200)):
        monkeypatch.setattr(choose_module, "FIRST_ROWS", len(rows))
        before = choose(rows)
        monkeypatch.setattr(choose_module, "FIRST_ROWS", few)
        looked.clear()
        found = choose(rows)
        assert "Looked at" not in found.chosen and set(looked) == {few, len(rows)}
        assert (found.k1, found.half_whitened) == (before.k1, before.half_whitened)
        assert (found.k1 == 50) == (rows is many) and found.half_whitened == (rows is loud)


def test_directions_of_much_variance_count_less_where_that_makes_individuals_clear(rng: np.random.Generator) -> None:
    clear = people(rng, 60, 6, noise=0.7)
    assert not choose(clear).half_whitened
    loud = clear.copy()
    loud[:, :6] += 1.5 * rng.standard_normal((360, 6)).astype(np.float32)
    loud = unit_rows(loud)
    found, plain, half = choose(loud), choose(loud, half=False), choose(loud, half=True)
    assert found.half_whitened and not plain.half_whitened and half.neighborhoods == found.neighborhoods
    without, support = dict(plain.neighborhoods), dict(half.neighborhoods)
    strongest = max(support, key=lambda k1: support[k1])
    assert support[strongest] > CLEARLY * without[strongest] and support[strongest] >= max(without.values())


@pytest.mark.parametrize(
    ("here", "there", "above"),
    [
        ([0.1, 0.3, 0.2], [0.1, 0.2, 0.2], True),
        ([0.1, 0.3, 0.2], [0.1, 0.25, 0.2], False),  # not clearly
        ([0.1, 0.3, 0.2], [0.28, 0.2, 0.2], True),  # the best ones of both differ by less
        ([0.1, 0.3, 0.2], [0.31, 0.2, 0.2], False),  # the best of all is there
        ([0.04, 0.1, 0.09], [0.14, 0.09, 0.08], True),  # weak, and more is enough
        ([0.04, 0.1, 0.09], [0.05, 0.11, 0.08], False),
        ([0.04, 0.1, 0.09], [0.16, 0.05, 0.05], False),  # not weak
        ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0], False),
    ],
)
def test_spaces_are_compared_by_the_same_neighborhood(here: list[float], there: list[float], above: bool) -> None:
    tree, counts, ones = sparse_linkage_tree(csr_array((3, 3))), np.zeros(len(CUTS), np.int64), np.ones(len(CUTS))

    def look(best: list[float]) -> Look:
        support = tuple(Support(tree, counts, np.linspace(0, each, len(CUTS)), ones) for each in best)
        return Look(Asked(None, 0), None, NEIGHBORHOODS[:3], support)

    assert look(here).better_than(look(there)) == above
    assert not look(here).better_than(look(here))


def test_what_is_given_is_used(rng: np.random.Generator) -> None:
    rows = people(rng, 12, 6)
    free = choose(rows)
    for eps in (0.5, 0.537, 0.95):
        found = choose(rows, eps)
        assert found.eps == eps and found.chosen.startswith(f"{eps:g} was given;") and eps in found.cuts
        assert (np.diff(found.cuts) > 0).all() and len(found.cuts) == len(CUTS) + (eps not in CUTS)
        assert len(found.neighborhoods) == len(free.neighborhoods)
    given = choose(rows, k1=7)
    assert given.k1 == 7 and "7 neighbors count as given." in given.chosen and len(given.neighborhoods) == 1
    both = choose(rows, 0.6, 7)
    assert (both.eps, both.k1) == (0.6, 7) and both.chosen == "0.6 was given; 7 neighbors count as given."
    assert choose(rows, k1=1000).k1 == len(rows)


@pytest.mark.parametrize("count", range(FEWEST + 3))
def test_few_rows(rng: np.random.Generator, count: int) -> None:
    rows = people(rng, count, 1, 4) if count else np.empty((0, 4), np.float32)
    found, given = choose(rows), choose(rows, 0.3, 2)
    assert given.eps == 0.3 and "0.3 was given" in given.chosen
    if count < FEWEST:
        assert found.eps == FALLBACK and found.k1 is None and len(found.cuts) == 0 and found.neighborhoods == ()
        assert found.chosen == f"0.7 was taken: there is too little to choose from (rows: {count})."
    else:
        assert found.k1 is not None and 2 <= found.k1 <= 4 and len(found.cuts) == len(CUTS)


def test_where_nothing_comes_out_again_the_sentence_says_so(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = people(rng, 20, 4)
    monkeypatch.setattr(support_module, "agreement", lambda one, other: -0.1)
    found = choose(rows)
    assert found.eps == FALLBACK and found.k1 == 25
    assert found.chosen == (
        "0.7 was taken: nothing that comes out again was found, so the groups mean little; 25 neighbors count."
    )
    assert choose(rows, 0.5).chosen == "0.5 was given; 25 neighbors count."


def test_random_rows_are_supported_by_little(rng: np.random.Generator) -> None:
    nobody, somebody = choose(people(rng, 200, 1)), choose(people(rng, 20, 10))
    assert nobody.curve("support").max() < 0.1 * somebody.curve("support").max()


def test_the_same_seed_gives_the_same(rng: np.random.Generator) -> None:
    rows = people(rng, 15, 4, noise=1.5)
    before = rows.copy()
    one, again, other = choose(rows, seed=1), choose(rows, seed=1), choose(rows, seed=2)
    np.testing.assert_array_equal(rows, before)
    for name in ("support", "separation", "stability"):
        np.testing.assert_array_equal(one.curve(name), again.curve(name))
    assert (one.eps, one.k1, one.neighborhoods) == (again.eps, again.k1, again.neighborhoods)
    assert not np.array_equal(one.curve("stability"), other.curve("stability"))


def test_degenerate_rows() -> None:
    for rows in (np.ones((40, 1)), np.ones((40, 8)), np.zeros((40, 8)), np.eye(40), np.array([[1.0], [-1.0]] * 20)):
        found = choose(unit_rows(rows.astype(np.float32)))
        assert found.eps in (*CUTS, FALLBACK) and np.isfinite(found.curve("support")).all()


@pytest.mark.parametrize("most", [1, 30, 40, 100, 999, 1000])
def test_a_region_is_as_large_as_it_may_be(rng: np.random.Generator, most: int) -> None:
    for rows in (people(rng, 100, 10, 8), unit_rows(np.ones((1000, 8), np.float32)), np.zeros((1000, 8), np.float32)):
        found = region(rows, most, np.random.default_rng(0))
        assert found.shape == (most, 8) and found.flags["C_CONTIGUOUS"]
        again = region(rows, most, np.random.default_rng(0))
        np.testing.assert_array_equal(found, again)


def test_a_region_keeps_individuals_together_and_rows_in_order(rng: np.random.Generator) -> None:
    rows = people(rng, 2000, 5, 16, noise=0.1)
    found = region(rows, 2000, rng)
    place = {row.tobytes(): i for i, row in enumerate(rows)}
    rows_taken = np.array([place[row.tobytes()] for row in found])
    assert (np.diff(rows_taken) > 0).all()
    taken = np.bincount(rows_taken // 5, minlength=2000)
    assert (taken[rows_taken // 5] == 5).mean() > 0.6  # of a fifth of the rows at random it would be 0.2 ** 4
    assert region(rows, 10_000, rng) is rows


def test_of_many_rows_a_region_is_looked_at(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(choose_module, "MOST_ROWS", 200)
    found = choose(people(rng, 100, 10))
    assert found.chosen.endswith("Looked at: 200 of 1,000 rows that lie together.")
    assert found.clusters.max() <= 200
    assert "Looked at" not in choose(people(rng, 20, 10)).chosen


def test_which_k2_goes_with_a_k1() -> None:
    assert [averaged(k1) for k1, _ in (*NEIGHBORHOODS, *WIDE)] == [k2 for _, k2 in (*NEIGHBORHOODS, *WIDE)]
    assert [averaged(k1) for k1 in (1, 2, 5, 9, 14, 30, 1000)] == [1, 1, 2, 2, 3, 6, 20]
