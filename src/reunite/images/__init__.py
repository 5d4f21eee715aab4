"""Room 1: what is on disk."""

from reunite.images.readers import read
from reunite.images.synthetic import render_walkers

__all__ = ["read", "render_walkers"]
