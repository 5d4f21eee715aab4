"""`reunite identify` of tracks: who is who among those of several cameras."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import Float32

from reunite import __version__, images
from reunite.cli.crop import cut_with_progress
from reunite.cli.display import console, counting, errors
from reunite.cli.embed import every_image
from reunite.cli.encoders import NamedEncoder
from reunite.cli.identity_files import Result, summary, write_identity_mot, write_tables
from reunite.cli.parts import embed_in_parts
from reunite.errors import InputError
from reunite.evaluate.identity_page import IdentityStory, identity_page, identity_result
from reunite.files import replacing
from reunite.identities.summaries import summarise
from reunite.identities.tracks import identify_tracks
from reunite.images.fingerprint import fingerprint
from reunite.images.tracker.crops import Crops
from reunite.images.tracker.footage import is_footage
from reunite.images.tracklets import Frames, Tracklets, each_alone, group_tracklets
from reunite.model import Encoder
from reunite.train.run import write_json


def is_tracker_output(data: Path) -> bool:
    """Whether there is footage with boxes, and no table of crops."""
    return is_footage(data) and not any((data / name).is_file() for name in ("table.csv", "table.parquet"))


def identify_tracks_of(
    data: Path,
    encoder: NamedEncoder,
    out: Path,
    *,
    eps: float | None,
    overlap: bool | None,
    center: bool,
    rate: float | None,
    skip: Literal["raise", "skip"],
) -> None:
    """Say which tracks show the same individual: a table, MOT files with global identities, and a page to look at."""
    tracker = is_tracker_output(data)
    crops = cut_with_progress(data, out / "crops", rate=rate, on_error=skip) if tracker else None
    dataset = images.read(data if crops is None else crops.table)
    every, _ = every_image(dataset)
    tracks = group_tracklets(every)
    if (every.track < 0).all():
        raise InputError(f"{data} has no tracks. Pass a tracker's output, or a table with a track column.")
    frames = _embedded(encoder.encoder, tracks, out, encoder.mark, skip)
    usable = np.logical_or.reduceat(np.isfinite(frames[:, 0]), tracks.starts[:-1])
    if not usable.any():
        raise InputError(f"None of the {len(tracks):,} tracks in {data} has a frame that can be read.")
    left = _left(tracks.take(np.flatnonzero(~usable)), dataset.camera_names, crops)
    starts = tracks.starts[:-1][usable]
    tracks = tracks.take(np.flatnonzero(usable))
    rule = tracker if overlap is None else overlap
    summaries = summarise(frames, tracks, starts=starts, center=center)
    found = identify_tracks(summaries, eps=eps, overlap=rule)
    result = Result(tracks, dataset.camera_names, summaries, found, left)
    write_tables(result, out)
    facts = {"data": str(data.resolve()), "encoder": encoder.name}
    write_json(out / "summary.json", {**summary(result, rule), **facts})
    if tracker:
        missing = write_identity_mot(result, data, out / "mot")
        console.print(f"{out / 'mot'}: the tracker's files with identities; {missing:,} rows without one are left out")
    story = _story(result, data, encoder.name, rule, crops)
    with replacing(out / "report.html") as temporary:
        temporary.write_text(identity_page(story), "utf-8")
    for camera, track, _ in left[:10]:
        errors.print(f"track {track} of {camera} has no usable frame", markup=False)
    console.print(identity_result(story))
    console.print(f"eps {found.identities.evidence.chosen}", soft_wrap=True)
    count = len(found.identities.apart)
    console.print(
        f"{count:,} pairs of tracks that one camera saw at the same moment were kept apart (--no-overlap unites them)"
        if rule
        else "tracks that one camera saw at the same moment may be one individual (--overlap keeps them apart)",
        soft_wrap=True,
    )
    console.print(f"written to {out}: identities.csv, identities.parquet, summary.json, report.html", soft_wrap=True)


def _embedded(
    encoder: Encoder, tracks: Tracklets, out: Path, mark: str, on_error: Literal["raise", "skip"]
) -> Float32[np.ndarray, "k d"]:
    """An embedding of each entry of `tracks.rows`, mapped from a file in `out` that the next call finds again."""
    alone = each_alone(tracks.images.take(tracks.rows))
    # The name tells the frames in their order too, which is that of their times.
    kept = out / f".frames.{fingerprint(alone.images)}.{mark}.npy"
    for other in set(out.glob(".frames.*.npy")) - {kept}:  # of other data, or another encoder
        other.unlink()
    if not kept.is_file():
        parts = kept.with_suffix(".parts")
        with counting("embedding frames") as progress:
            files = embed_in_parts(encoder, alone, parts, frames=Frames(), on_error=on_error, progress=progress)
        _join(files, kept)
        shutil.rmtree(parts)
    return np.load(kept, mmap_mode="r")


def _join(files: list[Path], target: Path) -> None:
    """One file of all parts, without holding them in memory."""
    parts = [np.load(file, mmap_mode="r") for file in files]
    shape = (sum(map(len, parts)), parts[0].shape[1])
    with replacing(target) as temporary:
        whole = np.lib.format.open_memmap(temporary, "w+", np.float32, shape)
        done = 0
        for part in parts:
            whole[done : done + len(part)] = part
            done += len(part)
        whole.flush()


def _left(unusable: Tracklets, camera_names: tuple[str, ...], crops: Crops | None) -> tuple[tuple[str, int, int], ...]:
    """(camera, track, frames) of tracks without a readable frame, and of those without a usable box."""
    heads = unusable.heads
    broken = zip(heads.camera.tolist(), heads.track.tolist(), unusable.lengths.tolist(), strict=True)
    empty = [] if crops is None else [(camera.name, track, 0) for camera in crops.cameras for track in camera.empty]
    return (*((camera_names[c] if camera_names and c >= 0 else str(c), track, n) for c, track, n in broken), *empty)


def _story(result: Result, data: Path, encoder: str, rule: bool, crops: Crops | None) -> IdentityStory:
    found, who = result.found, result.found.identities
    part_paths = np.full((len(result.tracks), 2), "", dtype=object)
    for track in np.flatnonzero(found.mixed).tolist():
        rows, place = result.tracks.frames_of(track), result.summaries.place[track]
        middles = rows[place // 2], rows[(place + len(rows)) // 2]
        part_paths[track] = [str(result.tracks.images.paths[row]) for row in middles]
    in_frames = crops is not None and crops.note.startswith("No frame rate")
    return IdentityStory(
        title=f"identities in {data.name}",
        facts={
            "data": str(data.resolve()),
            "encoder": encoder,
            "eps": who.evidence.chosen,
            **({} if crops is None else {"time": crops.note}),
            "version": f"reunite {__version__}",
        },
        tracks=result.tracks.heads,
        camera_names=result.camera_names,
        frames=result.tracks.lengths,
        begin=result.summaries.begin,
        end=result.summaries.end,
        labels=who.labels,
        confidence=who.confidence,
        second_best=who.second_best,
        mixed=found.mixed,
        parts=found.parts,
        part_paths=part_paths.astype(str),
        apart=len(who.apart),
        overlap=rule,
        evidence=who.evidence,
        embeddings=result.summaries.embeddings,
        clock="frames" if in_frames else "seconds",
    )
