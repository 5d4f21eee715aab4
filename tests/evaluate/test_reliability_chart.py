"""The chart shows each bin, and takes its colors from the page."""

import re

import numpy as np

from reunite.evaluate.reliability_chart import reliability_chart
from reunite.identities.reliability import reliability


def test_a_dot_for_each_bin(rng: np.random.Generator) -> None:
    said = rng.random(500)
    table = reliability(said, rng.random(500) < said, 10)
    drawing = reliability_chart(table, name="said")
    assert drawing.startswith("<svg") and drawing.rstrip().endswith("</svg>")
    assert f"expected calibration error {table.error:.3f}" in re.search('aria-label="([^"]+)"', drawing)[1]
    assert len(re.findall(r"<use [^>]*var\(--series-0\)", drawing)) == len(table.said) == 10
    assert "#0101" not in drawing and "http" not in drawing
    assert drawing == reliability_chart(table, name="said")


def test_one_bin_and_huge_counts_can_be_drawn() -> None:
    for weight in (1, 10**11):
        assert "<svg" in reliability_chart(reliability([0.3], [1], weight=[weight]))
