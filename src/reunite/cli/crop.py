"""`reunite crop`: a tracker's boxes become a data set of tracklets."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from reunite.cli.display import console, counting, errors
from reunite.cli.options import OnBox, Rate, on_error_of
from reunite.images.tracker.crops import Crops, crop_tracks


def crop(
    footage: Annotated[
        Path,
        typer.Argument(
            help="A folder with a MOT text file and the frames or a video of each camera.", show_default=False
        ),
    ],
    out: Annotated[
        Path, typer.Option(help="The folder of crops; what is complete in it is not cut again.", show_default=False)
    ],
    rate: Rate = None,
    on_error: OnBox = "raise",
    quality: Annotated[int, typer.Option(help="Of the JPEGs.", min=1, max=100)] = 95,
) -> None:
    """Cut the boxes of a tracker out of frames or videos: pictures and a table.csv that every other command reads."""
    cut_with_progress(footage, out, rate=rate, on_error=on_error, quality=quality)


def cut_with_progress(footage: Path, out: Path, *, rate: float | None, on_error: str, quality: int = 95) -> Crops:
    """Cuts, and says what became of each camera."""
    with counting("cutting frames") as progress:
        crops = crop_tracks(footage, out, rate=rate, on_error=on_error_of(on_error), quality=quality, progress=progress)
    for camera in crops.cameras:
        console.print(f"{camera.name}: {camera.boxes:,} crops of {camera.tracks:,} tracks, {camera.clipped:,} clipped")
        for left in camera.left_out:
            errors.print(f"  left out: {left.count:,} rows, {left.reason} (first: {left.first})", markup=False)
        if camera.empty:
            errors.print(
                f"  {len(camera.empty):,} tracks have no usable box, track {camera.empty[0]} first", markup=False
            )
    console.print(f"{crops.table}. {crops.note}", soft_wrap=True)
    return crops
