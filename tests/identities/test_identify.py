"""Who is who among images: made-up crowds, a person's word, and input of all kinds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.errors import InputError
from reunite.evaluate.clustering import clustering_scores
from reunite.identities.constraints import Constraints, violated
from reunite.identities.copies import MOST, looked_at, originals
from reunite.identities.identify import identify
from reunite.identities.look import CUTS, averaged
from reunite.identities.overlap import overlapping
from reunite.identities.result import Identities
from reunite.identities.whitening import Space, half_whitening
from reunite.neighbors.jaccard import jaccard_graph
from reunite.types import Clusters, unit_rows


def crowd(
    rng: np.random.Generator, shift: float = 0.0, people: int = 30, cameras: int = 3, d: int = 32, noise: float = 0.6
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, identities and cameras: every camera sees everybody twice, and moves all it sees by `shift`."""
    identity, camera = (each.ravel() for each in np.meshgrid(np.repeat(np.arange(people), 2), np.arange(cameras)))
    who, moved = unit_rows(rng.standard_normal((people, d))), shift * unit_rows(rng.standard_normal((cameras, d)))
    rows = who[identity] + moved[camera] + noise * unit_rows(rng.standard_normal((len(identity), d)))
    order = rng.permutation(len(rows))
    return rows[order], identity[order], camera[order]


def some_constraints(rng: np.random.Generator, n: int, united: int, apart: int) -> np.ndarray:
    """Pairs that do not contradict each other: by a partition that somebody has in mind."""
    mind = rng.integers(0, max(n // 3, 1), n)
    pairs = rng.integers(0, max(n, 1), (20 * (united + apart) if n else 0, 2))
    pairs = pairs[pairs[:, 0] != pairs[:, 1]]
    same = (mind[pairs[:, 0]] == mind[pairs[:, 1]]).astype(np.int64)
    given = np.column_stack([pairs, same])
    return np.concatenate([given[same == 1][:united], given[same == 0][:apart]])


def assert_is_an_answer(found: Identities, n: int) -> None:
    assert found.labels.dtype == found.second_best.dtype == np.int64
    assert found.labels.shape == found.confidence.shape == found.second_best.shape == (n,)
    np.testing.assert_array_equal(found.labels, Clusters.of(found.labels).labels)
    assert ((found.confidence >= 0) & (found.confidence <= 1)).all() and (found.confidence[found.labels < 0] == 0).all()
    assert ((found.second_best >= -1) & (found.second_best <= found.labels.max(initial=-1))).all()
    assert (found.second_best[found.labels >= 0] != found.labels[found.labels >= 0]).all()
    for i, j in found.apart.tolist():
        assert found.labels[i] != found.labels[j] or found.labels[i] == -1
        assert found.second_best[i] != found.labels[j] or found.labels[j] == -1
        assert found.second_best[j] != found.labels[i] or found.labels[i] == -1


def assert_same(found: Identities, expected: Identities) -> None:
    for name in ("labels", "confidence", "second_best", "eps", "apart"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.evidence.chosen == expected.evidence.chosen


def test_people_are_found_though_cameras_move_them(rng: np.random.Generator) -> None:
    rows, identity, camera = crowd(rng, shift=1.5)
    found = identify(rows, camera)
    assert_is_an_answer(found, len(rows))
    assert adjusted_rand_score(identity, found.labels) > 0.95
    plain = identify(rows, camera, center=False)
    assert adjusted_rand_score(identity, plain.labels) < 0.5
    assert_same(identify(rows), plain)  # no camera is known
    assert_same(identify(rows, np.full(len(rows), -1)), plain)


def test_confidence_is_low_where_rows_are_between_two(rng: np.random.Generator) -> None:
    rows, identity, _ = crowd(rng, noise=0.3)
    first = [np.flatnonzero(identity == name)[0] for name in range(30)]
    rows[first[0]] = unit_rows(rows[[first[0], first[1]]]).mean(axis=0)
    found = identify(rows)
    between = found.confidence[first[0]]
    assert between < 0.7 < np.median(found.confidence)
    either = {int(found.labels[identity == name][-1]) for name in (0, 1)}
    assert either & {int(found.labels[first[0]]), int(found.second_best[first[0]])}


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    st.integers(0, 10**6),
    st.integers(0, 40),
    st.integers(0, 12),
    st.integers(0, 12),
    st.integers(1, 4),
    st.one_of(st.none(), st.floats(0.1, 0.99)),
    st.booleans(),
)
def test_every_pair_holds(
    seed: int, n: int, united: int, apart: int, least: int, eps: float | None, with_time: bool
) -> None:
    rng = np.random.default_rng(seed)
    rows = rng.standard_normal((6, 8))[rng.integers(0, 6, n)] + rng.choice([0, 0.3]) * rng.standard_normal((n, 8))
    camera, time = rng.integers(-1, 2, n), rng.integers(0, 9, n).astype(float)
    pairs = some_constraints(rng, n, united, apart)
    said = Constraints.of(pairs, n)
    found = identify(rows, camera, time if with_time else None, pairs, eps, k1=4, min_cluster_size=least)
    assert_is_an_answer(found, n)
    assert len(violated(found.labels, said)) == 0
    assert_same(identify(rows, camera, time if with_time else None, said, eps, k1=4, min_cluster_size=least), found)
    rule = overlapping(camera, time, time) if with_time else np.empty((0, 2), np.int64)
    expected = {tuple(pair) for pair in np.concatenate([said.without_contradicted(rule)[0], said.different]).tolist()}
    assert {tuple(pair) for pair in found.apart.tolist()} == expected and len(found.apart) == len(expected)
    sizes = np.bincount(found.labels[found.labels >= 0], minlength=1)
    small = np.flatnonzero((found.labels >= 0) & (sizes[found.labels] < least))
    assert np.isin(found.labels[small], found.labels[said.same.ravel()]).all()
    only = identify(rows, constraints=said.different, eps=eps, k1=4)
    assert (only.labels[said.different[:, 0]] != only.labels[said.different[:, 1]]).all()


def test_pairs_change_what_is_found(rng: np.random.Generator) -> None:
    rows, identity, _ = crowd(rng, people=20)
    free = identify(rows, eps=0.7)
    a, b = np.flatnonzero(identity == 0), np.flatnonzero(identity == 1)
    assert free.labels[a[0]] == free.labels[a[1]] != free.labels[b[0]]
    one = identify(rows, constraints=[[a[0], b[0], 1]], eps=0.7)
    assert one.labels[a[0]] == one.labels[b[0]]
    two = identify(rows, constraints=[[a[0], a[1], 0]], eps=0.7)
    assert two.labels[a[0]] != two.labels[a[1]] and two.apart.tolist() == [sorted([a[0], a[1]])]


def test_contradictions_are_told() -> None:
    rows = np.eye(4)
    with pytest.raises(InputError, match=r"must not contradict each other.*row 0 = row 1"):
        identify(rows, constraints=[[0, 1, 1], [1, 2, 1], [0, 2, 0]])
    with pytest.raises(InputError, match="these 4 rows; got those of 5"):
        identify(rows, constraints=Constraints.of([[0, 4, 1]], 5))


def test_one_camera_and_one_moment_are_two_individuals_unless_somebody_says_otherwise() -> None:
    rows, camera, time = np.ones((3, 2)), [0, 0, 1], [5.0, 5.0, 5.0]
    found = identify(rows, camera, time)
    assert found.labels[0] != found.labels[1] and found.apart.tolist() == [[0, 1]]
    assert identify(rows, camera, time, overlap=False).labels.tolist() == [0, 0, 0]
    assert identify(rows, None, time).labels.tolist() == [0, 0, 0]
    said = identify(rows, camera, time, [[0, 1, 1]])
    assert said.labels.tolist() == [0, 0, 0] and said.apart.shape == (0, 2)
    through = identify(rows, camera, time, [[0, 2, 1], [1, 2, 1]])
    assert through.labels.tolist() == [0, 0, 0] and through.apart.shape == (0, 2)
    spans = identify(rows, [0, 0, 0], [[0, 4], [3, 6], [7, 8]])
    assert spans.apart.tolist() == [[0, 1]] and spans.labels[0] != spans.labels[1]


def test_small_groups_are_nobodys(rng: np.random.Generator) -> None:
    rows, _, _ = crowd(rng, people=12)
    alone = np.concatenate([rows, 5 * rng.standard_normal((6, 32))])
    free, found = identify(alone, eps=0.6), identify(alone, eps=0.6, min_cluster_size=3)
    sizes = np.bincount(free.labels)[free.labels]
    assert (sizes < 3).any() and (sizes >= 3).any()
    np.testing.assert_array_equal(found.labels, Clusters.of(np.where(sizes < 3, -1, free.labels)).labels)
    assert_is_an_answer(found, len(alone))
    nobody = identify(alone, eps=0.6, min_cluster_size=100)
    assert (nobody.labels == -1).all() and (nobody.second_best == -1).all() and (nobody.confidence == 0).all()
    kept = identify(alone, constraints=[[0, 1, 1]], eps=0.6, min_cluster_size=100)
    assert kept.labels[0] == kept.labels[1] == 0 and set(kept.labels.tolist()) == {0, -1}


def test_what_is_nobodys_is_no_second_best(rng: np.random.Generator) -> None:
    """0 and 1 are near to 2 alone, and less near to four others: if 2 is nobody's, these are the nearest."""
    rows, _, _ = crowd(rng, noise=1.2)
    free, found = identify(rows, eps=0.5), identify(rows, eps=0.5, min_cluster_size=3)
    assert (free.second_best >= 0).mean() > 0.5
    lost = (found.labels >= 0) & ~np.isin(free.second_best, free.labels[found.labels >= 0])
    assert lost.any() and (found.second_best[lost] >= 0).any()


@pytest.mark.parametrize("eps", [None, 0.5])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 5, 6, 7, 12])
def test_few_rows(rng: np.random.Generator, n: int, eps: float | None) -> None:
    rows = rng.standard_normal((n, 16))
    for time in (None, np.arange(n, dtype=float)):
        found = identify(rows, np.zeros(n, np.int64), time, eps=eps)
        assert_is_an_answer(found, n)
        assert found.eps == (eps or found.evidence.eps) and found.apart.shape == (0, 2)
    assert identify(np.ones((n, 3)), eps=eps).labels.tolist() == [0] * n


def test_very_few_rows_are_told_apart_by_how_far_they_are() -> None:
    """1 - exp(-|x - y|^2) is 0.7 where the similarity is 0.4."""
    for cosine, expected in ((0.45, [0, 0]), (0.35, [0, 1])):
        rows = np.array([[1, 0, 0], [cosine, np.sqrt(1 - cosine**2), 0]])
        found = identify(rows)
        assert found.labels.tolist() == expected and found.evidence.k1 is None
        with_another = identify(np.concatenate([rows, [[0, 0, 1]]]))
        assert with_another.labels.tolist() == [*expected, max(expected) + 1]
        shared = np.exp(2 * cosine - 2)
        assert found.confidence == pytest.approx([shared, shared] if expected[1] == 0 else [1 - shared] * 2, abs=1e-6)
    assert identify(-np.eye(5)[[0, 1, 0, 1, 2]] + 0.05).labels.tolist() == [0, 1, 0, 1, 2]
    one = np.array([[1, 0], [1, 0.01]])
    assert identify(one, constraints=[[0, 1]]).labels.tolist() == [0, 1]
    assert identify(np.eye(2), constraints=[[0, 1, 1]]).labels.tolist() == [0, 0]


def test_half_whitened_is_as_if_the_rows_had_been_whitened_before(rng: np.random.Generator) -> None:
    rows = unit_rows(
        (np.repeat(rng.standard_normal((12, 24)), 6, axis=0) + rng.standard_normal((72, 24))).astype(np.float32)
    )
    asked = identify(rows, eps=0.6, k1=6, half_whitened=True)
    before = identify(Space(half_whitening(rows))(rows), eps=0.6, k1=6, half_whitened=False)
    np.testing.assert_array_equal(asked.labels, before.labels)
    np.testing.assert_allclose(asked.confidence, before.confidence, atol=1e-5)
    assert asked.evidence.half_whitened and not before.evidence.half_whitened
    assert not np.array_equal(asked.labels, identify(rows, eps=0.6, k1=6, half_whitened=False).labels)


def test_the_space_of_an_earlier_result_is_where_rows_are_compared(rng: np.random.Generator) -> None:
    rows = unit_rows(
        (np.repeat(rng.standard_normal((20, 24)), 6, axis=0) + rng.standard_normal((120, 24))).astype(np.float32)
    )
    for half in (False, True):
        first = identify(rows[:90], half_whitened=half)
        assert (first.space.half is not None) == half and first.space.within is not None
        chosen = {"eps": first.eps, "k1": first.evidence.k1}
        again = identify(rows[:90], space=first.space, **chosen)
        np.testing.assert_array_equal(again.labels, first.labels)
        np.testing.assert_array_equal(again.confidence, first.confidence)
        on = identify(rows, space=first.space, **chosen)
        assert on.space is first.space and on.evidence.half_whitened == half
        graph = jaccard_graph(first.space(rows), chosen["k1"], averaged(chosen["k1"]), FARTHEST)
        np.testing.assert_array_equal(on.labels, sparse_linkage_tree(graph).cut(first.eps))
        with pytest.raises(InputError, match="leave half_whitened out"):
            identify(rows, space=first.space, half_whitened=half)
        with pytest.raises(InputError, match="24 dimensions; these have 23"):
            identify(rows[:, 1:], space=first.space)
    assert identify(rows[:4], space=first.space).space.dimensions is None  # of few rows nothing is learned, or kept


@pytest.mark.parametrize("n", [4, 6, 30, 31, 50, 500])
def test_copies_of_one_row_are_one_individual(n: int) -> None:
    for rows in (np.ones((n, 8)), np.zeros((n, 8)), np.full((n, 1), -3.0)):
        found = identify(rows)
        assert found.labels.tolist() == [0] * n and found.second_best.tolist() == [-1] * n
        assert (found.confidence > 0).all() and (found.margin == found.confidence).all()


def test_copies_stay_together_among_others_and_apart_where_somebody_says_so(rng: np.random.Generator) -> None:
    rows, identity, _ = crowd(rng)
    rows = np.concatenate([rows, np.repeat(rows[:2], 60, axis=0)])
    found = identify(rows)
    assert_is_an_answer(found, len(rows))
    assert set(found.labels[180:240]) == {found.labels[0]} and set(found.labels[240:]) == {found.labels[1]}
    assert adjusted_rand_score(identity, found.labels[:180]) > 0.9
    apart = identify(rows, constraints=[[180, 181, 0], [182, 5, 1]])
    assert apart.labels[180] != apart.labels[181] and apart.labels[182] == apart.labels[5]
    assert set(apart.labels[240:]) == {apart.labels[1]}
    through = identify(rows, constraints=[[180, 7, 1], [181, 7, 0]])
    assert through.labels[180] == through.labels[7] != through.labels[181]


def test_which_rows_are_copies_and_which_are_looked_at() -> None:
    rows = np.array([[1, 0], [0, 1], [1, 0], [0, 1], [1, 0], [-1, 0]], np.float32)
    none = np.empty((0, 2), np.int64)
    assert originals(rows, Constraints.of(None, 6), none).tolist() == [0, 1, 0, 1, 0, 5]
    assert originals(rows, Constraints.of(None, 6), np.array([[0, 1]])).tolist() == [0, 1, 0, 1, 0, 5]
    assert originals(rows, Constraints.of(None, 6), np.array([[2, 4]])).tolist() == [0, 1, 2, 1, 4, 5]
    said = Constraints.of([[0, 5, 1]], 6)
    assert originals(rows, said, np.array([[5, 4]])).tolist() == [0, 1, 2, 1, 4, 5]
    first = np.array([0, 1, 0, 0, 1, *[5] * (MOST + 3)])
    assert looked_at(first).tolist() == list(range(5 + MOST))
    assert looked_at(np.empty(0, np.int64)).tolist() == []


def test_other_numbers_give_the_same_and_input_is_left_as_it_was(rng: np.random.Generator) -> None:
    rows, _, camera = crowd(rng, shift=0.5, people=12)
    rows, time = rows.astype(np.float32), rng.integers(0, 20, len(rows)).astype(np.float64)
    before = rows.copy(), camera.copy(), time.copy()
    found = identify(rows, camera, time)
    assert_same(identify(rows, camera, time), found)
    assert_same(identify(rows.astype(np.float64), camera.astype(np.int32), time.astype(np.float32)), found)
    assert_same(identify(np.repeat(rows, 2, axis=1)[:, ::2], camera.tolist(), time.tolist()), found)
    assert_same(identify(np.asfortranarray(rows), camera.astype(object), time), found)
    for was, now in zip(before, (rows, camera, time), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_rows_hardly_matters(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, identity, camera = crowd(rng, shift=0.5)
    order = rng.permutation(len(rows))
    found, again = identify(rows, camera), identify(rows[order], camera[order])
    assert again.eps == found.eps and again.evidence.k1 == found.evidence.k1
    assert adjusted_rand_score(again.labels, found.labels[order]) > 0.98
    assert adjusted_rand_score(identity, found.labels) > 0.9


def test_a_given_eps_and_k1_are_used(rng: np.random.Generator) -> None:
    rows, _, _ = crowd(rng)
    found = identify(rows)
    assert found.eps in CUTS and found.eps == found.evidence.eps
    again = identify(rows, eps=found.eps, k1=found.evidence.k1)
    np.testing.assert_array_equal(again.labels, found.labels)
    assert again.evidence.chosen.startswith(f"{found.eps:g} was given") and "as given" in again.evidence.chosen
    counts = [int(identify(rows, eps=eps, k1=8).labels.max()) for eps in (0.1, 0.6, 0.97)]
    assert counts[0] > counts[1] > counts[2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.ones(3)}, r"embeddings must have shape \(n, d\)"),
        ({"embeddings": np.array([[1, 0], [np.nan, 1], [1, 1]])}, r"must be finite; 1 of 3 rows.*first is row 1"),
        ({"camera": [0, 1]}, r"camera must have shape \(3,\)"),
        ({"time": [1.0, 2.0]}, r"time must have shape \(3,\), or \(3, 2\) for begin and end; got shape \(2,\)"),
        ({"time": [[1, 2], [4, 3], [5, 6]]}, r"1 of 3 do not \(the first is track 1"),
        ({"constraints": [0, 1]}, r"must have shape \(p, 3\).*got shape \(2,\)"),
        ({"constraints": [[0, 3, 1]]}, r"1 of 1 pairs are not \(the first is pair 0, \[0, 3\]\)"),
        ({"constraints": [[0, 1, 2]]}, "must be 1 for same or 0 for different"),
        ({"eps": 0.0}, "must be between 0 and 1; got 0.0"),
        ({"eps": 1.0}, "must be between 0 and 1; got 1.0"),
        ({"eps": float("nan")}, "must be between 0 and 1; got nan"),
        ({"k1": 1}, "must be at least 2, and min_cluster_size at least 1; got 1 and 1"),
        ({"min_cluster_size": 0}, "got None and 0"),
    ],
)
def test_refuses_what_does_not_fit(change: dict, message: str) -> None:
    given = {"embeddings": np.eye(3), "camera": [0, 0, 1], "time": [1.0, 2.0, 3.0], **change}
    with pytest.raises(InputError, match=message):
        identify(**given)


@pytest.mark.data
@pytest.mark.slow
def test_people_of_market_are_found_without_labels(shared) -> None:
    """Measured: 0.793 among the identified, and 0.775 of these with junk and distractors around them."""
    stored = np.load(shared("data/features/market1501_retail0288.npz"))
    rows, identity, camera = (stored[f"gallery{name}"] for name in ("", "_identity", "_camera"))
    known = identity > 0
    found = identify(rows[known].astype(np.float32), camera[known])
    scores = clustering_scores(found.labels, identity[known])
    assert scores.ari >= 0.75 and scores.pairwise_f >= 0.75
    crowded = clustering_scores(identify(rows.astype(np.float32), camera).labels[known], identity[known])
    assert crowded.ari >= 0.74 and crowded.pairwise_f >= 0.74
