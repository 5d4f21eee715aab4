"""What was said and what was so, against loops."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from reunite.errors import InputError
from reunite.identities.reliability import expected_calibration_error, reliability

CASES = st.lists(st.tuples(st.floats(0, 1), st.booleans(), st.integers(0, 3)), min_size=1, max_size=40)


def error_by_loops(said: list[float], same: list[bool], weight: list[int], bins: int) -> float:
    """Expected calibration error in bins of equal width, pair by pair."""
    total = 0.0
    for number in range(bins):
        inside = [i for i, p in enumerate(said) if int(p * bins) == number or (p == 1 and number == bins - 1)]
        mass = sum(weight[i] for i in inside)
        if mass:
            gap = sum(weight[i] * (said[i] - same[i]) for i in inside) / mass
            total += mass * abs(gap)
    return total / sum(weight)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(CASES, st.integers(1, 20))
def test_equals_the_loops(cases: list[tuple[float, bool, int]], bins: int) -> None:
    said, same, weight = map(list, zip(*[*cases, (0.5, True, 1)], strict=True))
    found = expected_calibration_error(said, same, bins, weight=weight)
    assert found == pytest.approx(error_by_loops(said, same, weight, bins), abs=1e-12)
    table = reliability(said, same, bins, spacing="mass", weight=weight)
    assert 0 <= table.error <= table.largest_error + 1e-12 <= 1 + 1e-12
    assert table.pairs.sum() == sum(weight)
    assert (np.diff(table.said) > 0).all()  # equal ones stay together, and the order is kept
    repeated = [np.repeat(each, weight) for each in (said, same)]
    assert reliability(*repeated, bins, spacing="mass").error == pytest.approx(table.error, abs=1e-12)


def test_by_hand() -> None:
    table = reliability([0.1, 0.3, 0.9, 0.9], [0, 1, 1, 0], 2)
    np.testing.assert_allclose([table.said, table.found, table.pairs], [[0.2, 0.9], [0.5, 0.5], [2, 2]])
    assert table.error == pytest.approx(0.35) and table.largest_error == pytest.approx(0.4)
    assert reliability([0.1, 0.3, 0.9, 0.9], [0, 1, 1, 0], 4, spacing="mass").pairs.tolist() == [1, 1, 2]


def test_equal_ones_go_where_the_middle_of_their_mass_is() -> None:
    assert reliability([0.1, 0.1, 0.1, 0.9], [0, 0, 1, 1], 2, spacing="mass").pairs.tolist() == [3, 1]


def test_truth_has_no_error_and_opposites_have_all_of_it(rng: np.random.Generator) -> None:
    said = expit(2 * rng.standard_normal(200_000))
    same = rng.random(200_000) < said
    for spacing in ("width", "mass"):
        assert expected_calibration_error(said, same, spacing=spacing) < 0.006
    assert expected_calibration_error(same, same) == 0
    assert expected_calibration_error(~same, same) == 1
    assert reliability(said, same, 10, spacing="mass").pairs.tolist() == pytest.approx([20_000] * 10, abs=1)


def test_bad_input_is_named() -> None:
    with pytest.raises(InputError, match="one shape"):
        reliability([0.5], [1, 0])
    with pytest.raises(InputError, match="no pair"):
        reliability([], [])
    with pytest.raises(InputError, match="no pair"):
        reliability([0.5], [1], weight=[0])
    with pytest.raises(InputError, match=r"probability must be in \[0, 1\]; 2 of 3"):
        reliability([0.5, 1.5, np.nan], [1, 1, 0])
    with pytest.raises(InputError, match="same must"):
        reliability([0.5], [2])
    with pytest.raises(InputError, match="weight must"):
        reliability([0.5], [1], weight=[-1])
    with pytest.raises(InputError, match="bins"):
        reliability([0.5], [1], 0)
    with pytest.raises(InputError, match="'equal'"):
        reliability([0.5], [1], spacing="equal")
