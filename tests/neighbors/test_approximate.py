"""Approximate neighbors against exact ones: what is promised of those found, and the share that was not."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from oracles.features import nasty, people
from reunite.errors import InputError
from reunite.neighbors import approximate_neighbors, nearest_neighbors


@pytest.fixture
def descent():
    return pytest.importorskip("pynndescent", reason="PyNNDescent is an optional extra")


@pytest.mark.filterwarnings("ignore")  # those of the package are not ours to mend
@pytest.mark.parametrize("name", ["people", "duplicates", "untrained", "lattice"])
def test_what_is_found_is_exact_and_the_recall_is_the_share_found(descent, name: str) -> None:
    rows = people(800, dimensions=24)[0] if name == "people" else 1 + nasty(name, 200)
    k = 10
    found = approximate_neighbors(rows, k, sample=10**6)
    assert found.sampled == len(rows)
    exact, similarity = nearest_neighbors(rows, len(rows))
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(len(rows)))
    assert all(len(set(row)) == k for row in found.indices.tolist())
    by_index = np.empty_like(similarity)
    np.put_along_axis(by_index, exact, similarity, axis=1)
    np.testing.assert_array_equal(found.similarity, np.take_along_axis(by_index, found.indices, axis=1))
    assert (np.diff(found.similarity[:, 1:], axis=1) <= 0).all()
    hits = [(found.similarity[i, 1:] >= similarity[i, k - 1]).mean() for i in range(len(rows))]
    assert found.recall == pytest.approx(np.mean(hits))
    assert found.recall > 0.9


@pytest.mark.filterwarnings("ignore")
def test_a_poor_search_says_so(descent, monkeypatch: pytest.MonkeyPatch) -> None:
    class Poor:
        def __init__(self, rows: np.ndarray, n_neighbors: int, **_: object) -> None:
            rng = np.random.default_rng(0)
            found = np.stack([rng.choice(len(rows), n_neighbors, replace=False) for _ in rows])
            found[3, -2:] = -1
            self.neighbor_graph = found, None

    monkeypatch.setattr(descent, "NNDescent", Poor)
    found = approximate_neighbors(people(600)[0], 10, sample=50)
    assert found.sampled == 50 and found.recall < 0.1
    assert found.indices[3].tolist() == nearest_neighbors(people(600)[0], 10)[0][3].tolist(), (
        "not found: searched exactly"
    )


@pytest.mark.parametrize(
    ("rows", "arguments", "message"),
    [
        (np.ones((5, 2)), {"k": 6}, "between 2 and the number of rows, 5; got 6"),
        (np.ones((5, 2)), {"k": 1}, "between 2"),
        (np.ones((5, 2)), {"k": 3, "sample": 0}, "sample must be at least 1"),
        (np.array([[1, 0], [0, 0], [1, 1]]), {"k": 2}, r"1 of 3 rows are zero \(the first is row 1\)"),
    ],
)
def test_refuses_what_makes_no_sense(descent, rows: np.ndarray, arguments: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        approximate_neighbors(rows, **arguments)


def test_without_the_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynndescent", None)
    with pytest.raises(InputError, match=r"reunite\[approximate\]"):
        approximate_neighbors(np.eye(4), 2)
