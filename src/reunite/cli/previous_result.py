"""The identities of an earlier `reunite identify`, for the images that there are now."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from jaxtyping import Float32, Int64

from reunite.cli.image_names import ImageNames
from reunite.cli.space_file import Sample, read_space
from reunite.errors import InputError
from reunite.identities.whitening import Space
from reunite.images.splits import counted
from reunite.types import NOISE, check_codes

RADIUS = "radius"
"""Key of what `_radius` reads."""

LARGEST = "largest_number"
"""Key in summary.json: the largest number ever given, also to individuals that are gone since."""


@dataclass(frozen=True)
class KeptRadius:
    """What an earlier result chose, in which space, and for how many images.

    Attributes:
        sample: some of these images. rows: where each of the sample is among the images that there are now; -1 is nowhere.
    """

    eps: float
    k1: int
    space: Space
    images: int
    sample: Sample
    rows: Int64[np.ndarray, " m"]

    def of_encoder(self, embeddings: Float32[np.ndarray, "n d"]) -> bool:
        """Whether it was chosen for embeddings by the encoder of these; for another one it means nothing."""
        return self.sample.same_encoder(embeddings, self.rows)


@dataclass(frozen=True, eq=False)
class PreviousResult:
    """What an earlier result says about n images.

    Attributes:
        folder: of the result.
        identity: number of each image, (n,) int64; -1 where it was noise or not there.
        numbers: every number in the result, ascending, also those whose images are all gone.
        largest: the largest number ever given; -1 for none.
        there: images of the result.
        matched: those of them that are there now.
        by_file_name: whether they were matched by file name, since no path agreed.
        radius: None where the result does not say.
    """

    folder: Path
    identity: Int64[np.ndarray, " n"]
    numbers: Int64[np.ndarray, " k"]
    largest: int
    there: int
    matched: int
    by_file_name: bool
    radius: KeptRadius | None

    def line(self) -> str:
        """For a person: how much of the previous result could be found again."""
        how = ", by file name, since no path agrees" if self.by_file_name else ""
        gone, new = self.there - self.matched, len(self.identity) - self.matched
        return (
            f"{self.folder}: {self.matched:,} of its {counted(self.there, 'image')} found again{how}; {gone:,} gone, "
            f"{counted(new, 'new image')}"
        )


def read_previous(folder: Path, names: ImageNames) -> PreviousResult:
    """Read identities.parquet, or identities.csv where that is not there, and summary.json of a result.

    Images are matched by path relative to the data folder, so the folder may have moved. Where no path agrees at all, they
    are matched by file name, as far as only one image has it in the result and only one now.

    Raises:
        InputError: no result there, or tables that are damaged or of something else than images.
    """
    paths, identity = _table(folder)
    row_of = names.exactly(paths)
    by_file_name = len(paths) > 0 and (row_of < 0).all()
    if by_file_name:
        row_of = _by_file_name(paths, names)
    found = row_of >= 0
    previous = np.full(len(names), NOISE, np.int64)
    previous[row_of[found]] = identity[found]
    numbers = np.unique(identity[identity >= 0])
    return PreviousResult(
        folder=folder,
        identity=previous,
        numbers=numbers,
        largest=max(_largest(folder / "summary.json"), int(numbers.max(initial=NOISE))),
        there=len(paths),
        matched=int(found.sum()),
        by_file_name=bool(by_file_name and found.any()),
        radius=_radius(folder, dict(zip(paths, row_of.tolist(), strict=True))),
    )


def _table(folder: Path) -> tuple[list[str], Int64[np.ndarray, " m"]]:
    """Paths and identities."""
    file = next((each for each in (folder / "identities.parquet", folder / "identities.csv") if each.is_file()), None)
    if file is None:
        raise InputError(
            f"{folder} is no result of `reunite identify`: it has no identities.parquet or identities.csv. Pass the "
            "folder that an earlier --out named."
        )
    try:
        table = pyarrow.parquet.read_table(file) if file.suffix == ".parquet" else _read_csv(file)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(
            f"{file} cannot be read as a table: {reason}. Take the file from a backup, or identify anew."
        ) from error
    if missing := [name for name in ("path", "identity") if name not in table.column_names]:
        raise InputError(f"{file} must have the columns path and identity; it has no {' and no '.join(missing)}.")
    paths = table.column("path").cast(pa.string()).to_pylist()
    numbers = table.column("identity").to_numpy()
    identity = check_codes(numbers, len(numbers), f"identity in {file}")
    listed = [k for k, path in enumerate(paths) if path]  # a track without a usable frame has none
    paths = [paths[k] for k in listed]
    if len(set(paths)) < len(paths):
        twice = next(path for path, times in Counter(paths).items() if times > 1)
        raise InputError(f"{file} must list each image once; {twice!r} is there more than once. Identify anew.")
    return paths, identity[listed]


def _read_csv(file: Path) -> pa.Table:
    texts = pyarrow.csv.ConvertOptions(column_types={"path": pa.string()})  # also where all names are numbers
    parse = pyarrow.csv.ParseOptions(newlines_in_values=True)
    return pyarrow.csv.read_csv(file, parse_options=parse, convert_options=texts)


def _by_file_name(paths: Sequence[str], names: ImageNames) -> Int64[np.ndarray, " m"]:
    old, new = ([path.rpartition("/")[2] for path in each] for each in (paths, names.names))
    times_old, times_new = Counter(old), Counter(new)
    row_of = {name: row for row, name in enumerate(new) if times_new[name] == 1}
    return np.array([row_of.get(name, NOISE) if times_old[name] == 1 else NOISE for name in old], np.int64)


def _radius(folder: Path, row_of: dict[str, int]) -> KeptRadius | None:
    """Of summary.json, with the space; a radius means nothing in another one."""
    kept, there = _kept(folder / "summary.json").get(RADIUS), read_space(folder)
    if not isinstance(kept, dict) or not {"eps", "k1", "images"} <= kept.keys() or there is None:
        return None
    space, sample = there
    rows = np.array([row_of.get(name, NOISE) for name in sample.names], np.int64)
    return KeptRadius(float(kept["eps"]), int(kept["k1"]), space, int(kept["images"]), sample, rows)


def _kept(file: Path) -> dict[str, Any]:
    if not file.is_file():
        return {}
    try:
        kept = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read ({error}). Take it from a backup, or remove it.") from error
    if not isinstance(kept, dict):
        raise InputError(f"{file} cannot be read (it is no JSON object). Take it from a backup, or remove it.")
    return kept


def _largest(file: Path) -> int:
    """The number kept in summary.json; -1 for a result that has none."""
    largest = _kept(file).get(LARGEST, NOISE)
    if type(largest) is not int:
        raise InputError(f"{LARGEST} in {file} must be a whole number; got {largest!r}.")
    return largest
