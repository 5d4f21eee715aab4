"""Noise joins the individual that it probably is, never one that a person said it is not."""

from dataclasses import replace

import numpy as np
import pytest

from reunite.errors import InputError
from reunite.identities.attach import attached
from reunite.identities.constraints import Constraints
from reunite.identities.identify import identify
from reunite.types import NOISE, unit_rows

NOTHING = np.empty((0, 2), np.int64)


def crowd(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Thirty people of eight images, and thirty images of nobody else."""
    who = np.concatenate([np.repeat(np.arange(30), 8), 30 + np.arange(30)])
    return unit_rows(
        (rng.standard_normal((60, 48))[who] + 0.5 * rng.standard_normal((270, 48))).astype(np.float32)
    ), who


def test_who_was_left_out_comes_back_and_strangers_do_not(rng: np.random.Generator) -> None:
    rows, _ = crowd(rng)
    found = identify(rows, min_cluster_size=2)
    left = np.arange(0, 240, 8)  # one image of each
    labels = found.labels.copy()
    labels[left] = NOISE
    second = found.second_best.copy()
    second[left] = found.labels[left]
    without = replace(found, labels=labels, second_best=second)
    back = attached(without, rows, 0.5, Constraints.of(None, len(rows)))
    np.testing.assert_array_equal(back.labels[:240], found.labels[:240])
    assert (back.labels[240:] == NOISE).mean() > 0.7
    assert (back.confidence[left] >= 0.5).all() and (back.second_best[left] != back.labels[left]).all()
    said = Constraints.of([[0, 1], [8, 16]], len(rows))
    kept = attached(without, rows, 0.5, said)
    assert kept.labels[0] == NOISE and kept.labels[8] == found.labels[8]
    nobody = attached(without, rows, 1.0, Constraints.of(None, len(rows)))
    assert (nobody.labels == NOISE).sum() >= (back.labels == NOISE).sum()


def test_without_noise_nothing_changes(rng: np.random.Generator) -> None:
    rows, _ = crowd(rng)
    found = identify(rows)
    assert attached(found, rows, 0.9, Constraints.of(None, len(rows))) is found
    for least in (0, -1, 1.5, float("nan")):
        with pytest.raises(InputError, match="a probability, above 0"):
            attached(found, rows, least, Constraints.of(None, len(rows)))
