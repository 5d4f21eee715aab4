"""Published data sets of video: which of them a folder is. One image file is one frame.

None is downloaded; each is read from where its owner unpacked it. Every tracklet has a number that it shares with no
other tracklet of its camera, in all of train, query and gallery.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from reunite.images.splits import Listing
from reunite.images.video.duke import duke_video_listing, is_duke_video
from reunite.images.video.ilids_vid import ILIDS_VID, ilids_vid_listing
from reunite.images.video.mars import is_mars, mars_listing
from reunite.images.video.prid2011 import PRID2011, prid2011_listing


def video_reader(folder: Path, split_seed: int) -> Callable[[], Listing] | None:
    """What reads `folder`, if it is one of the video data sets, or half of one (reading then says what is missing)."""
    if is_mars(folder):
        return partial(mars_listing, folder)
    if is_duke_video(folder):
        return partial(duke_video_listing, folder)
    for layout, listing in ((ILIDS_VID, ilids_vid_listing), (PRID2011, prid2011_listing)):
        home = layout.home(folder)
        if home is not None:
            return partial(listing, home, split_seed)
    return None
