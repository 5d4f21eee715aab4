from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings

from oracles import metric_losses as oracle
from reunite.errors import InputError
from reunite.losses.distances import as_points, class_means, pairwise_distances, row_distances, unit_rows


@settings(deadline=None, max_examples=40)
@given(oracle.batches(repeated_rows=False))
def test_both_distances_equal_the_definition(batch):
    rows = batch[0]
    for squared in (False, True):
        expected = [[oracle.distance(x, y, squared) for y in rows.tolist()] for x in rows.tolist()]
        scale = float(rows.abs().max()) ** (2 if squared else 1)
        np.testing.assert_allclose(pairwise_distances(rows, squared=squared), expected, atol=1e-9 * scale)
        direct = row_distances(rows, rows.flip(0), squared=squared)
        np.testing.assert_allclose(direct, np.diag(np.fliplr(expected)), rtol=1e-12, atol=0)


@settings(deadline=None, max_examples=40)
@given(oracle.batches())
def test_class_means_equal_the_definition_in_any_order(batch):
    rows, labels = batch
    names, position, sizes = labels.unique(return_inverse=True, return_counts=True)
    expected = [oracle.mean(rows[labels == name].tolist()) for name in names]
    np.testing.assert_allclose(class_means(rows, position, sizes), expected, atol=1e-12)
    np.testing.assert_allclose(class_means(rows[:, 0], position, sizes), np.array(expected)[:, 0], atol=1e-12)


def test_gradients_equal_finite_differences():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((5, 3))).requires_grad_()
    for squared in (False, True):
        assert torch.autograd.gradcheck(lambda x, s=squared: pairwise_distances(x, squared=s), (rows,))
        assert torch.autograd.gradcheck(lambda x, s=squared: row_distances(x, x.flip(0), squared=s), (rows,))
    assert torch.autograd.gradcheck(unit_rows, (rows,))


def test_identical_rows_are_a_millionth_apart_and_pull_nowhere():
    rows = torch.full((4, 8), 1e4, dtype=torch.float64, requires_grad=True)
    for distances in (pairwise_distances(rows), row_distances(rows, rows.flip(0))):
        np.testing.assert_allclose(distances.detach(), 1e-6, rtol=1e-12)
        (gradient,) = torch.autograd.grad(distances.sum(), rows)
        assert torch.equal(gradient, torch.zeros_like(rows))
    assert torch.equal(pairwise_distances(rows, squared=True), torch.zeros(4, 4, dtype=torch.float64))


def test_a_row_has_no_distance_to_itself_in_spite_of_rounding():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((50, 300)) * 1e4).float()
    assert torch.equal(pairwise_distances(rows, squared=True).diagonal(), torch.zeros(50))


def test_close_rows_keep_their_digits_far_from_the_origin():
    left = torch.full((1, 64), 1000.0)
    step = torch.zeros(1, 64)
    step[0, 0] = 2.0**-8
    assert row_distances(left, left + step).item() == 2.0**-8


def test_autocast_does_not_reach_the_distances():
    rows = torch.from_numpy(np.random.default_rng(0).standard_normal((6, 32))).float()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = pairwise_distances(rows)
    assert inside.dtype == torch.float32
    assert torch.equal(inside, pairwise_distances(rows))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_zero_rows_stay_zero_and_their_gradient_fits_half_precision(dtype):
    rows = torch.tensor([[0.0, 0.0], [3.0, 4.0]], dtype=dtype, requires_grad=True)
    points = as_points(rows, torch.tensor([0, 1]), normalize=True)
    np.testing.assert_allclose(points.detach(), [[0, 0], [0.6, 0.8]], rtol=1e-6)
    points[:, 0].sum().backward()
    np.testing.assert_allclose(rows.grad.float(), [[0, 0], [0.128, -0.096]], rtol=1e-2)


def test_precision_is_float32_at_least_and_float64_where_it_was():
    labels = torch.tensor([0, 1])
    for dtype in (torch.float16, torch.bfloat16, torch.float32):
        assert as_points(torch.ones(2, 3, dtype=dtype), labels).dtype == torch.float32
    assert as_points(torch.ones(2, 3, dtype=torch.float64), labels.to(torch.uint8)).dtype == torch.float64


@pytest.mark.parametrize(
    ("embeddings", "labels", "words"),
    [
        (torch.ones(3), torch.tensor([0, 1, 2]), r"shape \(b, d\)"),
        (torch.ones(0, 3), torch.empty(0, dtype=torch.int64), "b and d >= 1"),
        (torch.ones(2, 0), torch.tensor([0, 1]), "b and d >= 1"),
        (torch.ones(2, 3, dtype=torch.int64), torch.tensor([0, 1]), "floating point"),
        (torch.ones(2, 3), torch.tensor([0, 1, 2]), r"shape \(2,\)"),
        (torch.ones(2, 3), torch.tensor([[0], [1]]), r"shape \(2,\)"),
        (torch.ones(2, 3), torch.tensor([0.0, 1.0]), "integers"),
        (torch.ones(2, 3), torch.tensor([True, False]), "integers"),
        (torch.ones(2, 3), torch.tensor([0, 1], device="meta"), "move the labels"),
    ],
)
def test_bad_batches_say_what_was_expected(embeddings, labels, words):
    with pytest.raises(InputError, match=words):
        as_points(embeddings, labels)
