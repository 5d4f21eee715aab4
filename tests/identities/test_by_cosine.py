"""Who is who against greedy merging in loops, and on made-up people that cameras move."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import adjusted_rand_score

import reunite.cluster.distance_matrix as distance_matrix_module
import reunite.identities.centering as centering_module
from oracles.identities import camera_means_by_loops, confidence_by_loops, merges_apart, overlapping_by_pairs
from oracles.merging import unit
from reunite.cluster.linkage_tree import linkage_tree
from reunite.errors import InputError
from reunite.identities.by_cosine import identify_by_cosine as identify
from reunite.identities.result import Identities
from reunite.identities.silhouette import FALLBACK, choose_by_silhouette
from reunite.types import Clusters, unit_rows

FEW = 3  # rows that make the mean of a camera in small examples
SECONDS = st.one_of(st.integers(0, 9).map(float), st.just(float("nan")))
ROWS = st.lists(st.tuples(st.integers(-1, 2), SECONDS, st.integers(0, 3)), max_size=14)


def columns(seen: list) -> tuple[np.ndarray, np.ndarray]:
    """Cameras, begins and ends."""
    camera, begin, length = np.array(seen, np.float64).reshape(-1, 3).T
    return camera.astype(np.int64), np.stack([begin, begin + length], axis=1)


def some_pairs(rng: np.random.Generator, n: int, count: int) -> np.ndarray:
    pairs = rng.integers(0, max(n, 1), (count if n else 0, 2))
    return pairs[pairs[:, 0] != pairs[:, 1]]


def crowd(
    rng: np.random.Generator, shift: float, people: int = 20, cameras: int = 3, d: int = 32
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, identities and cameras: every camera sees everybody twice, and moves all it sees by `shift`."""
    identity, camera = (each.ravel() for each in np.meshgrid(np.repeat(np.arange(people), 2), np.arange(cameras)))
    who, moved = unit_rows(rng.standard_normal((people, d))), shift * unit_rows(rng.standard_normal((cameras, d)))
    rows = who[identity] + moved[camera] + 0.3 * unit_rows(rng.standard_normal((len(identity), d)))
    order = rng.permutation(len(rows))
    return rows[order], identity[order], camera[order]


def assert_equal(found: Identities, expected: Identities) -> None:
    for name in ("labels", "confidence", "second_best", "eps", "apart"):
        np.testing.assert_array_equal(getattr(found, name), getattr(expected, name), err_msg=name)
    assert found.evidence.chosen == expected.evidence.chosen


@settings(max_examples=100, deadline=None, derandomize=True)
@given(ROWS, st.integers(0, 10**6), st.integers(0, 5), st.floats(0.1, 1.2), st.booleans(), st.booleans())
def test_equals_greedy_merging_in_loops(
    seen: list, seed: int, count: int, eps: float, overlap: bool, center: bool
) -> None:
    rng = np.random.default_rng(seed)
    camera, time = columns(seen)
    embeddings = rng.standard_normal((len(camera), 6)).astype(np.float32)
    constraints = some_pairs(rng, len(camera), count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(centering_module, "FEWEST", FEW)
        found = identify(embeddings, camera, time, constraints, eps, overlap=overlap, center=center)
    rows = unit(embeddings).reshape(-1, 6)
    if center:
        rows = unit(rows - camera_means_by_loops(rows, camera, FEW)).reshape(-1, 6)
    pairs = {tuple(sorted(pair)) for pair in constraints.tolist()}
    pairs |= {tuple(pair) for pair in overlapping_by_pairs(camera, *time.T)} if overlap else set()
    labels = np.arange(len(camera))
    for height, after in merges_apart(rows, sorted(map(list, pairs))):
        labels = after if height <= eps else labels
    assert found.labels.dtype == np.int64 and found.eps == eps and found.evidence.eps == eps
    np.testing.assert_array_equal(found.labels, Clusters.of(labels).labels)
    assert found.apart.dtype == np.int64 and found.apart.tolist() == sorted(map(list, pairs))
    value, second_best = confidence_by_loops(rows, found.labels, eps, found.apart.tolist())
    np.testing.assert_allclose(found.confidence, value, atol=1e-5)
    np.testing.assert_array_equal(found.second_best, second_best)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-1, 2), SECONDS, st.integers(0, 3)), max_size=40),
    st.integers(0, 10**6),
    st.integers(0, 10),
    st.one_of(st.none(), st.floats(0.01, 2)),
)
def test_what_one_camera_saw_at_once_never_shares_a_label(seen: list, seed: int, count: int, eps: float | None) -> None:
    rng = np.random.default_rng(seed)
    camera, time = columns(seen)
    constraints = some_pairs(rng, len(camera), count)
    rows = rng.standard_normal((4, 8))[rng.integers(0, 4, len(camera))] + 0.2 * rng.standard_normal((len(camera), 8))
    found = identify(rows, camera, time, constraints, eps)
    for i, j in [*overlapping_by_pairs(camera, *time.T), *constraints.tolist()]:
        assert found.labels[i] != found.labels[j]
    np.testing.assert_array_equal(found.labels, Clusters.of(found.labels).labels)
    assert (found.labels >= 0).all() and ((found.confidence >= 0) & (found.confidence <= 1)).all()


def test_two_people_who_look_alike_are_told_apart_by_time() -> None:
    rows, camera = np.eye(2)[[0, 0, 1, 0]], [0, 0, 0, 1]
    together, apart = [0, 0, 1, 0], [0, 1, 2, 0]
    time = np.array([[0, 10], [5, 15], [20, 30], [40, 50]])
    assert identify(rows, camera, time, eps=0.3).labels.tolist() == apart
    assert identify(rows, camera, time, eps=0.3).apart.tolist() == [[0, 1]]
    without = identify(rows, camera, time, eps=0.3, overlap=False)
    assert without.labels.tolist() == together and without.apart.shape == (0, 2)
    assert identify(rows, camera, eps=0.3).labels.tolist() == together
    assert identify(rows, None, time, eps=0.3).labels.tolist() == together
    assert identify(rows, [0, 1, 0, 1], time, eps=0.3).labels.tolist() == together


def test_time_may_be_a_moment_or_a_span() -> None:
    rows, camera = np.ones((4, 1)), [0, 0, 0, 1]
    moments = [3.0, 7.0, 3.0, 3.0]
    expected = identify(rows, camera, np.stack([moments, moments], axis=1), eps=0.3)
    assert_equal(identify(rows, camera, moments, eps=0.3), expected)
    assert expected.apart.tolist() == [[0, 2]]
    assert identify(rows, camera, [[3, 5], [7, 8], [4, 7], [3, 3]], eps=0.3).apart.tolist() == [[0, 2], [1, 2]]
    assert identify(rows, camera, [3, np.nan, None, 3], eps=0.3).apart.shape == (0, 2)
    # Two rows: (2,) is two moments and (2, 2) two spans.
    assert identify(np.ones((2, 1)), [0, 0], [1, 2], eps=0.3).labels.tolist() == [0, 0]
    assert identify(np.ones((2, 1)), [0, 0], [[1, 2], [2, 3]], eps=0.3).labels.tolist() == [0, 1]


def test_constraints_hold_with_and_without_time() -> None:
    rows, constraints = np.ones((3, 1)), [[2, 0], [0, 2]]
    for camera, time, overlap in ((None, None, True), ([0, 0, 0], [1, 2, 3], True), ([0, 0, 0], [1, 1, 3], False)):
        found = identify(rows, camera, time, constraints, 0.3, overlap=overlap)
        assert found.labels.tolist() in ([0, 0, 1], [0, 1, 1])
        assert found.apart.tolist() == [[0, 2]]
    both = identify(rows, [0, 0, 0], [1, 1, 3], np.array(constraints, np.uint8), 0.3)
    assert both.labels.tolist() == [0, 1, 1] and both.apart.tolist() == [[0, 1], [0, 2]]


@pytest.mark.parametrize("none", [None, [], (), np.empty((0, 2)), np.empty((0, 2), np.int64)])
def test_no_constraints(none: object) -> None:
    assert identify(np.ones((3, 1)), [0, 0, 0], [1, 1, 3], none, 0.3).apart.tolist() == [[0, 1]]
    assert identify(np.ones((3, 1)), constraints=none, eps=0.3).labels.tolist() == [0, 0, 0]


def test_people_are_found_though_cameras_move_them(rng: np.random.Generator) -> None:
    rows, identity, camera = crowd(rng, shift=1.5)
    found = identify(rows, camera)
    np.testing.assert_array_equal(found.labels, Clusters.of(identity).labels)
    plain = identify(rows, camera, center=False)
    assert adjusted_rand_score(identity, plain.labels) < 0.5
    assert len(set(zip(plain.labels, camera, strict=True))) == plain.labels.max() + 1  # nobody is found in two cameras
    np.testing.assert_array_equal(identify(rows).labels, plain.labels)  # no camera is known
    still, identity, camera = crowd(rng, shift=0.0)
    for center in (True, False):
        assert adjusted_rand_score(identity, identify(still, camera, center=center).labels) == 1


def test_cameras_that_see_different_people_are_not_to_be_centred(rng: np.random.Generator) -> None:
    """What the docstring warns of: the mean of a camera that sees one person is that person."""
    identity = np.repeat([0, 1], 12)
    rows = np.eye(8)[identity] + 0.1 * rng.standard_normal((24, 8))
    assert adjusted_rand_score(identity, identify(rows, identity, eps=0.4, center=False).labels) == 1
    assert adjusted_rand_score(identity, identify(rows, identity, eps=0.4).labels) < 0.5


def test_eps_is_chosen_from_the_centred_rows_and_the_tree_with_its_pairs(rng: np.random.Generator) -> None:
    rows, _, camera = crowd(rng, shift=1.0, people=12)
    time = rng.integers(0, 30, len(rows))
    found = identify(rows, camera, time)
    plain = unit(rows.astype(np.float32))
    centred = unit(plain - camera_means_by_loops(plain, camera, centering_module.FEWEST)).astype(np.float32)
    evidence = choose_by_silhouette(centred, linkage_tree(centred, found.apart))
    assert len(found.apart) > 10 and found.eps == found.evidence.eps == pytest.approx(evidence.eps, abs=1e-5)
    np.testing.assert_allclose(found.evidence.curve("silhouette"), evidence.curve("silhouette"), atol=1e-4)
    np.testing.assert_array_equal(found.evidence.clusters, evidence.clusters)
    fixed = identify(rows, camera, time, eps=found.eps)
    np.testing.assert_array_equal(fixed.labels, found.labels)
    assert fixed.evidence.chosen.endswith("was given.")


def test_labels_and_confidence_are_those_of_the_chosen_eps(rng: np.random.Generator) -> None:
    rows = rng.standard_normal((40, 8))
    found = identify(rows)
    again = identify(rows, eps=found.eps)
    np.testing.assert_array_equal(found.labels, again.labels)
    np.testing.assert_array_equal(found.confidence, again.confidence)
    for other in (FALLBACK, found.eps - 0.1, found.eps + 0.1):
        assert not np.array_equal(found.labels, identify(rows, eps=other).labels)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.integers(0, 10**6), st.one_of(st.none(), st.floats(0.2, 1)))
def test_the_order_of_rows_does_not_matter(seed: int, eps: float | None) -> None:
    rng = np.random.default_rng(seed)
    rows, _, camera = crowd(rng, shift=0.5, people=6, cameras=2)
    begin = rng.integers(0, 40, len(rows)).astype(np.float64)
    time = np.stack([begin, begin + 2], axis=1)
    constraints = some_pairs(rng, len(rows), 3)
    order = rng.permutation(len(rows))
    back = np.argsort(order)
    found = identify(rows, camera, time, constraints, eps)
    again = identify(rows[order], camera[order], time[order], back[constraints], eps)
    np.testing.assert_array_equal(again.labels, Clusters.of(found.labels[order]).labels)
    np.testing.assert_allclose(again.confidence, found.confidence[order], atol=1e-4)
    assert again.eps == pytest.approx(found.eps, abs=1e-4)
    assert sorted(map(sorted, order[again.apart].tolist())) == found.apart.tolist()


def test_other_numbers_give_the_same_and_input_is_left_as_it_was(rng: np.random.Generator) -> None:
    rows, _, camera = crowd(rng, shift=0.5, people=8)
    rows, time = rows.astype(np.float32), rng.integers(0, 20, len(rows)).astype(np.float64)
    before = rows.copy(), camera.copy(), time.copy()
    found = identify(rows, camera, time)
    assert_equal(identify(rows.astype(np.float64), camera.astype(np.int32), time.astype(np.float32)), found)
    assert_equal(identify(np.repeat(rows, 2, axis=1)[:, ::2], camera.tolist(), time.tolist()), found)
    assert_equal(identify(np.asfortranarray(rows), camera.astype(object), time), found)
    assert_equal(identify(rows * 2.0 ** rng.integers(-3, 4, (len(rows), 1)), camera, time), found)
    for was, now in zip(before, (rows, camera, time), strict=True):
        np.testing.assert_array_equal(was, now)


@pytest.mark.parametrize("eps", [None, 0.3])
def test_few_rows(eps: float | None) -> None:
    used = FALLBACK if eps is None else eps
    for time in (None, np.empty(0), np.empty((0, 2))):
        nobody = identify(np.empty((0, 4)), [], time, eps=eps)
        assert nobody.eps == used and nobody.apart.shape == (0, 2)
        assert nobody.labels.shape == nobody.confidence.shape == nobody.second_best.shape == (0,)
    single = identify(np.ones((1, 4)), [0], [1.0], eps=eps)
    assert single.eps == used
    assert (single.labels.tolist(), single.confidence.tolist(), single.second_best.tolist()) == ([0], [1], [-1])
    same, different = np.array([[1, 0], [1, 0.1]]), np.eye(2)
    assert identify(same, [0, 1], eps=eps).labels.tolist() == [0, 0]
    assert identify(different, [0, 1], eps=eps).labels.tolist() == [0, 1]
    assert identify(different, [0, 1], eps=eps).second_best.tolist() == [1, 0]
    assert identify(same, [0, 0], [1.0, 1.0], eps=eps).labels.tolist() == [0, 1]


def test_copies_of_two_people_who_stay_apart() -> None:
    found = identify(np.repeat(np.eye(2), 4, axis=0), constraints=[[0, 4]])
    assert found.labels.tolist() == [0] * 4 + [1] * 4 and found.confidence.tolist() == [1] * 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"embeddings": np.ones(3)}, r"embeddings must have shape \(n, d\)"),
        ({"embeddings": np.array([[1, 0], [np.nan, 1], [1, 1]])}, r"must be finite; 1 of 3 rows.*first is row 1"),
        ({"embeddings": np.array([[1, 0], [0, 0], [1, 1]])}, r"must have a direction; 1 of 3 rows.*first is row 1"),
        ({"camera": [0, 1]}, r"camera must have shape \(3,\)"),
        ({"camera": [0, 0.5, 1]}, "camera must be whole numbers"),
        ({"time": [1.0, 2.0]}, r"time must have shape \(3,\), or \(3, 2\) for begin and end; got shape \(2,\)"),
        ({"time": np.ones((3, 3))}, r"got shape \(3, 3\)"),
        ({"time": np.ones((2, 3))}, r"got shape \(2, 3\)"),
        ({"time": ["noon", "1", "2"]}, "must be numbers of seconds.*noon"),
        ({"time": [[1, 2], [4, 3], [5, 6]]}, r"1 of 3 do not \(the first is track 1, from 4.0 to 3.0 seconds\)"),
        ({"constraints": [0, 1]}, r"must have shape \(p, 2\).*got shape \(2,\)"),
        ({"constraints": [0, 1, 2]}, r"must have shape \(p, 2\).*got shape \(3,\)"),
        ({"constraints": [[0, 1, 2, 0]]}, r"must have shape \(p, 2\).*got shape \(1, 4\)"),
        ({"constraints": [[0.0, 1.0]]}, "whole numbers from 0 on; got float64"),
        ({"constraints": [[0, 3]]}, r"1 of 1 pairs are not \(the first is pair 0, \[0, 3\]\)"),
        ({"constraints": [[0, 1], [2, 2]]}, r"the first is pair 1, \[2, 2\]"),
        ({"constraints": [[-1, 1]]}, r"the first is pair 0, \[-1, 1\]"),
        ({"eps": 0.0}, "eps must be a mean cosine distance above 0; got 0.0"),
        ({"eps": float("nan")}, "got nan"),
    ],
)
def test_refuses_what_makes_no_sense(change: dict, message: str) -> None:
    arguments = {"embeddings": np.eye(3), "camera": [0, 0, 1], "time": [1.0, 2.0, 3.0], **change}
    with pytest.raises(InputError, match=message):
        identify(**arguments)


def test_a_row_of_zeros_is_refused_also_where_cameras_are_centred(rng: np.random.Generator) -> None:
    rows, _, camera = crowd(rng, shift=1.0)
    rows[17] = 0
    with pytest.raises(InputError, match=r"1 of 120 rows are all zeros \(the first is row 17\)"):
        identify(rows, camera)


def test_more_rows_than_memory_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distance_matrix_module, "available_bytes", lambda: 71)
    with pytest.raises(InputError, match="holds 72 bytes; 71 are available"):
        identify(np.eye(3))
