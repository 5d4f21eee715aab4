"""Tests of every precision of the first look at pairs."""

from __future__ import annotations

import pytest

from reunite.neighbors.precision import INT8_INSTRUCTIONS, _instructions

SATURATES = pytest.mark.skipif(
    not INT8_INSTRUCTIONS & _instructions(), reason="this processor saturates sums of bytes; they are never used on it"
)
NAMES = ["float32", "bfloat16", pytest.param("int8", marks=SATURATES)]
PRECISIONS = pytest.mark.parametrize("precision", NAMES)
