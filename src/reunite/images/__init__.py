"""Room 1: what is on disk."""

from reunite.images.readers import read
from reunite.images.scenes import render_scenes
from reunite.images.synthetic import render_walkers
from reunite.images.tracker.crops import crop_tracks
from reunite.images.tracklets import Frames, Tracklets, each_alone, group_tracklets

__all__ = [
    "Frames",
    "Tracklets",
    "crop_tracks",
    "each_alone",
    "group_tracklets",
    "read",
    "render_scenes",
    "render_walkers",
]
