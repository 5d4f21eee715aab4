"""What the training loop relies on when it calls a clusterer."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from reunite.train.describe import arguments

COUNT, GROUPS, DIMENSIONS = 120, 12, 16


def check_clusterer(clusterer: Any, *, order_free: bool = True, merges: bool = False) -> None:
    """Checks that a clusterer keeps the rules that `reunite.train` relies on.

    It gives every row one whole number, -1 for noise, and keeps them in ``labels_``; it repeats itself; it leaves X and y
    as they are; it takes the labels of the round before as y; the order of the rows does not matter; its settings can be read
    back, so that a recipe with it prints. Odd inputs (equal rows, rows of zeros, few rows, one column, float64, views) give
    labels or a ValueError that says what is wrong, never another error.

    Args:
        clusterer: anything with ``fit_predict(X, y=None)``; it is copied, never changed.
        order_free: False where permuting the rows may change the partition.
        merges: True where clusters are unions of those in y (bottom-up merging).

    Raises:
        AssertionError: a rule is broken; the message says which.
    """
    rows, previous = _planted()
    _check_settings(clusterer)
    labels = _labels(clusterer, rows, previous)
    kept = _planted()
    assert np.array_equal(rows, kept[0]) and np.array_equal(previous, kept[1]), "the clusterer changed its inputs"
    _check_labels(clusterer, labels, len(rows))
    again = _labels(clusterer, rows, previous)
    assert np.array_equal(labels, again), "two fits of the same rows gave different labels: fix the seed, or the order"
    if order_free:
        _check_order(clusterer, rows, previous, labels)
    if merges:
        for cluster in np.unique(previous):
            assert len(set(labels[previous == cluster].tolist())) == 1, f"cluster {cluster} of y was split"
    _check_odd_inputs(clusterer)


def _check_settings(clusterer: Any) -> None:
    try:
        settings = arguments(clusterer)
        again = arguments(type(clusterer)(**settings))
    except Exception as error:
        raise AssertionError(
            f"{type(clusterer).__name__} cannot be built from its own settings ({error}): the constructor must keep each "
            "argument under its own name, as scikit-learn asks."
        ) from error
    assert repr(settings) == repr(again), f"settings read back differ: {settings} became {again}"


def _check_labels(clusterer: Any, labels: Any, count: int) -> None:
    given = np.asarray(labels)
    assert given.shape == (count,), f"expected one label per row, shape ({count},); got {given.shape}"
    assert given.dtype.kind in "iu", f"labels must be whole numbers; got {given.dtype}"
    assert given.min() >= -1, f"noise is -1 and nothing lies below; got {given.min()}"
    fitted = copy.deepcopy(clusterer)
    found = fitted.fit_predict(*_planted())
    assert np.array_equal(getattr(fitted, "labels_", found), found), "labels_ differs from what fit_predict returned"


def _check_order(clusterer: Any, rows: np.ndarray, previous: np.ndarray, labels: np.ndarray) -> None:
    order = np.random.default_rng(1).permutation(len(rows))
    moved = _labels(clusterer, rows[order], previous[order])
    same, still = _together(labels[order]), _together(moved)
    assert np.array_equal(same, still), (
        f"permuting the rows changed the partition: {int((same != still).sum()) // 2} pairs came together or apart"
    )


def _check_odd_inputs(clusterer: Any) -> None:
    rows, previous = _planted()
    odd = {
        "equal rows": (np.ones((30, 4), np.float32), np.arange(30)),
        "rows of zeros": (np.zeros((30, 4), np.float32), np.arange(30)),
        "one row": (rows[:1], previous[:1]),
        "two rows": (rows[:2], previous[:2]),
        "one column": (np.linspace(-1, 1, 30, dtype=np.float32)[:, None], np.arange(30)),
        "float64": (rows.astype(np.float64), previous),
        "a view": (np.repeat(rows, 2, axis=1)[:, ::2], previous),
    }
    for name, (given, y) in odd.items():
        try:
            labels = np.asarray(copy.deepcopy(clusterer).fit_predict(given, y))
        except ValueError as error:
            assert str(error), f"{name}: a ValueError without a word"
        except Exception as error:
            raise AssertionError(
                f"{name}: {type(error).__name__}: {error}; raise a ValueError that says what is wrong"
            ) from error
        else:
            assert labels.shape == (len(given),), f"{name}: expected {len(given)} labels; got shape {labels.shape}"


def _labels(clusterer: Any, rows: np.ndarray, previous: np.ndarray) -> np.ndarray:
    return copy.deepcopy(clusterer).fit_predict(rows, previous)


def _together(labels: np.ndarray) -> np.ndarray:
    """Which pairs of rows share a cluster; noise is with nobody."""
    return (labels[:, None] == labels[None, :]) & (labels[:, None] >= 0)


def _planted() -> tuple[np.ndarray, np.ndarray]:
    """Unit rows around a few directions, and a partition finer than these, as of a round before."""
    rng = np.random.default_rng(0)
    group = np.sort(rng.integers(0, GROUPS, COUNT))
    rows = rng.standard_normal((GROUPS, DIMENSIONS))[group] + 0.3 * rng.standard_normal((COUNT, DIMENSIONS))
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    half = 2 * group + rng.integers(0, 2, COUNT)
    return rows.astype(np.float32), np.unique(half, return_inverse=True)[1]
