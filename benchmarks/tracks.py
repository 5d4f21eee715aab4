"""`python -m benchmarks.tracks`: embeddings of frames to individuals, seconds and memory, as tracks get longer.

Frames are drawn around 1,250 individuals who are each seen by four cameras, and lie in a file that is mapped into memory. Peak
memory is what Python and NumPy allocated, so without the pages of that file, which the system takes back when it needs them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

from reunite import identify_tracks, summarise
from reunite.evaluate import clustering_scores
from reunite.images import Tracklets
from reunite.types import Images

CAMERAS = 4


def made_up(tracks: int, length: int, dimensions: int, folder: Path) -> tuple[np.ndarray, Tracklets, np.ndarray]:
    """Frames in a file, the tracks they belong to, and the individual of each track."""
    rng = np.random.default_rng(0)
    people = tracks // CAMERAS
    person, camera = np.arange(tracks) % people, np.arange(tracks) // people
    center = rng.standard_normal((people, dimensions), np.float32)[person]
    center += 0.5 * rng.standard_normal((CAMERAS, dimensions), np.float32)[camera]
    center += 0.6 * rng.standard_normal((tracks, dimensions), np.float32)
    frames = np.lib.format.open_memmap(folder / "frames.npy", "w+", np.float32, (tracks * length, dimensions))
    for track in range(tracks):
        frames[track * length : (track + 1) * length] = center[track] + 0.7 * rng.standard_normal(
            (length, dimensions), np.float32
        )
    frames.flush()
    number = np.repeat(np.arange(tracks), length)
    seconds = rng.uniform(0, 3600, tracks)[number] + np.tile(np.arange(length) / 5, tracks)
    images = Images.of(np.full(tracks * length, ""), camera=camera[number], track=number, time=seconds)
    units = Tracklets(images, np.arange(tracks * length), np.arange(0, tracks * length + 1, length))
    return np.load(folder / "frames.npy", mmap_mode="r"), units, person


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tracks", description=__doc__)
    parser.add_argument("--tracks", type=int, default=5_000)
    parser.add_argument("--frames", nargs="+", type=int, default=[20, 40, 80])
    parser.add_argument("--dimensions", type=int, default=256)
    chosen = parser.parse_args()
    print("| tracks | frames | means and cuts, s | identities, s | peak MB | individuals | set aside | ARI |")
    print("|---|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for turn, length in enumerate([chosen.frames[0], *chosen.frames]):
            frames, tracks, person = made_up(chosen.tracks, length, chosen.dimensions, Path(folder))
            start = time.perf_counter()
            summaries = summarise(frames, tracks)
            middle = time.perf_counter()
            found = identify_tracks(summaries)
            end = time.perf_counter()
            tracemalloc.start()
            identify_tracks(summarise(frames, tracks))
            peak = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            labels = found.identities.labels
            row = (
                f"| {chosen.tracks:,} | {len(frames):,} | {middle - start:.1f} | {end - middle:.1f} | {peak / 1e6:.0f} | "
                f"{labels.max() + 1:,} | {found.mixed.sum():,} | {clustering_scores(labels, person).ari:.3f} |"
            )
            if turn:  # the first compiles, and is not shown
                print(row, flush=True)


if __name__ == "__main__":
    main()
