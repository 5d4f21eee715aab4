"""A short name for the exact images of a data set, so that a run is resumed only on what it began with."""

from __future__ import annotations

import hashlib
import os

from reunite.errors import ReaderError
from reunite.types import Images


def fingerprint(images: Images) -> str:
    """Sixteen hexadecimal digits that change with any image's place, size in bytes, identity, camera or track.

    Paths count from the folder that all images share, so a data set may be moved or reached by another road. Order
    counts. Contents are not read: two files of the same size and name are taken to be the same.

    Raises:
        ReaderError: an image is not there any more.
    """
    paths = images.paths.tolist()
    root = os.path.commonpath([os.path.dirname(path) for path in paths]) if paths else ""
    digest = hashlib.sha256()
    columns = (images.identity.tolist(), images.camera.tolist(), images.track.tolist())
    for path, identity, camera, track in zip(paths, *columns, strict=True):
        try:
            size = os.path.getsize(path)
        except OSError as error:
            raise ReaderError(
                f"{path} cannot be read: {error.strerror}. Put the image back, or read the data set again."
            ) from error
        place = os.path.relpath(path, root).replace(os.sep, "/")
        # NUL cannot be part of a path, so no two different lists of images spell the same bytes.
        digest.update(f"{place}\0{size}\0{identity}\0{camera}\0{track}\0".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]
