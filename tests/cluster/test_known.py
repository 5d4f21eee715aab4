"""Known identities as clusters, and scikit-learn's rules for an estimator that needs y."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import estimator_checks_generator

from reunite.cluster.known import KnownIdentities
from reunite.errors import InputError

ROWS = np.random.default_rng(0).standard_normal((6, 3))


@pytest.mark.parametrize(
    "identities",
    [
        [7, 7, -1, 3, 3, 900],
        np.array([7, 7, -1, 3, 3, 900], np.int16),
        np.array([7, 7, -1, 3, 3, 900], float),
    ],
)
def test_labels_are_the_identities(identities: list[int] | np.ndarray) -> None:
    found = KnownIdentities().fit(ROWS, identities)
    assert found.labels_.dtype == np.int64
    assert found.labels_.tolist() == [7, 7, -1, 3, 3, 900]
    assert found.n_features_in_ == 3
    assert KnownIdentities().fit_predict(ROWS, identities).tolist() == found.labels_.tolist()


def test_the_identities_given_stay_apart_from_the_labels() -> None:
    identities = np.arange(6)
    labels = KnownIdentities().fit_predict(ROWS, identities)
    labels[0] = 99
    assert identities[0] == 0


def test_rows_do_not_matter() -> None:
    identities = [0, 0, 1, 1, 2, 2]
    for rows in (ROWS, ROWS[::-1], np.zeros((6, 1))):
        assert KnownIdentities().fit_predict(rows, identities).tolist() == identities


def test_says_that_it_needs_labels() -> None:
    assert get_tags(KnownIdentities()).target_tags.required
    assert repr(clone(KnownIdentities())) == "KnownIdentities()"
    with pytest.raises(InputError, match=r"identities that are\s+known.*`train` passes those of its images"):
        KnownIdentities().fit_predict(ROWS)


@pytest.mark.parametrize(
    ("identities", "message"),
    [
        ([0, 1], r"identities of the rows.*shape \(6,\).*got shape \(2,\)"),
        (np.zeros((6, 1)), r"got shape \(6, 1\)"),
        ([0, 1, 2, 3, 4, 0.5], "whole numbers with -1 for unknown"),
        ([0, 1, 2, 3, 4, np.nan], "whole numbers"),
        (list("abcdef"), "whole numbers"),
        ([0, 1, 2, 3, 4, -2], "at least -1.*got -2"),
    ],
)
def test_refuses_identities_that_are_none(identities: object, message: str) -> None:
    with pytest.raises(InputError, match=message):
        KnownIdentities().fit_predict(ROWS, identities)


def test_refuses_rows_that_are_not_finite() -> None:
    with pytest.raises(InputError, match="the first is row 1"):
        KnownIdentities().fit([[1.0, 2], [np.nan, 0]], [0, 0])


OUR_WAY = {
    "check_clustering": "it fits without y, which this clusterer exists to be given",
}
CHECKS = [
    pytest.param(
        estimator,
        check,
        id=check.func.__name__,
        marks=[pytest.mark.xfail(raises=(InputError, AssertionError), reason=OUR_WAY[check.func.__name__], strict=True)]
        if check.func.__name__ in OUR_WAY
        else [],
    )
    for estimator, check in estimator_checks_generator(KnownIdentities())
]


@pytest.mark.parametrize(("estimator", "check"), CHECKS)
def test_keeps_the_rules_of_scikit_learn(estimator: KnownIdentities, check: Callable) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(estimator)
