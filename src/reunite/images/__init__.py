"""Room 1: what is on disk."""

from reunite.images.readers import read
from reunite.images.synthetic import render_walkers
from reunite.images.tracklets import Frames, Tracklets, each_alone, group_tracklets

__all__ = ["Frames", "Tracklets", "each_alone", "group_tracklets", "read", "render_walkers"]
