from __future__ import annotations

import pytest
import torch

from reunite.model.pooling import AveragePooling, GeneralizedMeanPooling


@pytest.mark.parametrize("p", [1.0, 3.0, 6.5])
def test_generalized_mean_by_its_definition(p):
    features = torch.rand(2, 3, 4, 5)
    pooled = GeneralizedMeanPooling(p)(features).detach()
    for image in range(2):
        for channel in range(3):
            values = [max(float(x), 1e-6) ** p for x in features[image, channel].flatten()]
            assert float(pooled[image, channel]) == pytest.approx((sum(values) / len(values)) ** (1 / p), rel=1e-5)


def test_limits_are_the_mean_and_the_maximum():
    features = torch.rand(2, 3, 4, 5) + 0.1
    torch.testing.assert_close(GeneralizedMeanPooling(1.0)(features), AveragePooling()(features))
    largest = features.amax(dim=(2, 3))
    torch.testing.assert_close(GeneralizedMeanPooling(200.0)(features.double()).float(), largest, rtol=0.02, atol=0)


def test_negative_activations_and_half_precision_stay_finite_with_a_gradient():
    pooling = GeneralizedMeanPooling()
    features = (-torch.rand(2, 3, 4, 4)).half().requires_grad_()
    pooling(features).sum().backward()
    assert torch.isfinite(features.grad).all()
    assert torch.isfinite(pooling.p.grad).all()
