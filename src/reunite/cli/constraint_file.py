"""Files of pairs of images that somebody says show the same individual or different ones."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from jaxtyping import Int64

from reunite.cli.image_names import AMBIGUOUS, ImageNames
from reunite.errors import InputError
from reunite.files import replacing
from reunite.identities.constraints import DIFFERENT, SAME
from reunite.images.splits import counted
from reunite.images.tables import PARQUET_EXTENSIONS, SEPARATORS

COLUMNS = ("first", "second", "relation")
"""As written. Others are read as well."""

PATH_COLUMNS = (("first", "second"), ("a", "b"), ("path_a", "path_b"), ("path1", "path2"), ("image1", "image2"))
RELATION_COLUMN = {"same": SAME, "different": DIFFERENT}
SAME_COLUMN = {
    **RELATION_COLUMN,
    "1": SAME,
    "true": SAME,
    "yes": SAME,
    "0": DIFFERENT,
    "false": DIFFERENT,
    "no": DIFFERENT,
}
"""1 means "same" in a column of this name only: elsewhere it might be a distance, or a yes to another question."""

FORM = (
    "A table of pairs has two columns with paths of images, first and second, and a column relation that says same or "
    "different (or a column same with 1 or 0, yes or no, true or false)."
)


@dataclass(frozen=True)
class Said:
    """One pair.

    Attributes:
        first, second: names of images, `ImageNames`, in ascending order.
        same: one individual; False is two.
        source: where it stands.
    """

    first: str
    second: str
    same: bool
    source: str

    @property
    def pair(self) -> tuple[str, str]:
        """The two names."""
        return self.first, self.second


@dataclass(frozen=True, eq=False)
class SaidPairs:
    """What was said in this call and in earlier ones.

    Attributes:
        said: every pair that holds, those of this call first; what to write for the next one.
        overruled: pairs of earlier calls of which this one says the opposite.
        pairs: (p, 3) int64 of those whose images are both there: two rows, and 1 for same or 0 for different.
        sources: (p,) where each of them stands.
    """

    said: tuple[Said, ...]
    overruled: tuple[Said, ...]
    pairs: Int64[np.ndarray, "p 3"]
    sources: tuple[str, ...]

    @property
    def absent(self) -> int:
        """Pairs with an image that is not there now; they are kept, for it may come back."""
        return len(self.said) - len(self.pairs)


def gather_constraints(given: Path | None, kept: Path | None, names: ImageNames) -> SaidPairs:
    """The pairs of a file that somebody gives, and those that an earlier call kept with `write_constraints`.

    A pair given now stands above a kept one that says the opposite: somebody changed their mind. Other contradictions are
    for `Constraints.of` to find, which names the pairs by `sources`.

    Args:
        given: see `read_constraints`; None is no file.
        kept: written by `write_constraints`; None, or a file that does not exist, is no pair.
        names: of the images there are now.

    Raises:
        InputError: see `read_constraints`.
    """
    new = () if given is None else read_constraints(given, names)
    old = () if kept is None or not kept.exists() else _read_kept(kept)
    meanings: dict[tuple[str, str], set[bool]] = {}
    for each in new:
        meanings.setdefault(each.pair, set()).add(each.same)
    overruled = tuple(each for each in old if meanings.get(each.pair, {each.same}) != {each.same})
    said = (*new, *(each for each in old if each.pair not in meanings))
    rows = np.stack(
        [names.exactly([each.first for each in said]), names.exactly([each.second for each in said])], axis=1
    )
    there = np.flatnonzero((rows >= 0).all(axis=1))
    relation = np.array([SAME if said[k].same else DIFFERENT for k in there], np.int64)
    pairs = np.concatenate([rows[there], relation[:, None]], axis=1)
    return SaidPairs(said, overruled, pairs, tuple(said[k].source for k in there))


def read_constraints(file: Path, names: ImageNames) -> tuple[Said, ...]:
    """The pairs of a CSV or Parquet file that a person wrote, in the order of its lines.

    Two columns of paths, relative to the data folder, absolute, or the end of a path where only one image ends so, such
    as its file name; and a column `relation` with same or different, or a column `same` with 1 or 0, yes or no, true or
    false. A CSV file of three columns needs no header. Other columns do not count where these have their usual names.

    Raises:
        InputError: no such table, cells that say neither same nor different, images that are not there or not told
            apart, or an image paired with itself. Lines are named.
    """
    rows = list(_rows(file))
    if not rows:
        raise InputError(f"{file} has no pairs. {FORM}")
    texts = [text for _, a, b, _ in rows for text in (a, b)]
    found = names.find(texts).reshape(-1, 2)
    wrong = np.flatnonzero((found < 0).any(axis=1))
    if len(wrong):
        shown = [
            _unknown(rows[k][0], texts[2 * k + side], found[k, side] == AMBIGUOUS, names)
            for k in wrong[:3].tolist()
            for side in (0, 1)
            if found[k, side] < 0
        ]
        more = f"; and {counted(len(wrong) - 3, 'more line')}" if len(wrong) > 3 else ""
        raise InputError(
            f"{file} must name images of {names.folder}; {len(wrong):,} of {len(rows):,} lines do not: "
            f"{'; '.join(shown)}{more}. Write paths relative to that folder."
        )
    alone = np.flatnonzero(found[:, 0] == found[:, 1])
    if len(alone):
        raise InputError(
            f"{file} must name two different images in each line; {len(alone):,} of {len(rows):,} lines name one twice "
            f"(the first is {rows[alone[0]][0]}, {names.names[found[alone[0], 0]]!r}). Remove them."
        )
    return tuple(
        _said(names.names[a], names.names[b], same, f"{where} of {file}")
        for (where, _, _, same), (a, b) in zip(rows, found.tolist(), strict=True)
    )


def write_constraints(file: Path, said: Sequence[Said]) -> None:
    """A CSV file of pairs for the next call: paths as in identities.csv, each pair once, in ascending order.

    To withdraw a pair remove its line, or give the opposite.
    """
    relations = {each.pair: "same" if each.same else "different" for each in said}
    columns = list(zip(*((*pair, relation) for pair, relation in sorted(relations.items())), strict=True)) or [()] * 3
    table = pa.table([pa.array(column, pa.string()) for column in columns], names=COLUMNS)
    with replacing(file) as temporary:
        pyarrow.csv.write_csv(table, temporary)


def _read_kept(file: Path) -> tuple[Said, ...]:
    """Names as they were written: the end of one is not looked for, since a new image may be called so."""
    return tuple(_said(a, b, same, f"{where} of {file}") for where, a, b, same in _rows(file))


def _said(a: str, b: str, same: bool, source: str) -> Said:
    return Said(min(a, b), max(a, b), same, source)


def _unknown(where: str, text: str, ambiguous: bool, names: ImageNames) -> str:
    if ambiguous:
        return f"{where}, {text!r} is the end of several paths"
    close = names.close_to(text)
    return f"{where}, {text!r}" + (f" (did you mean {close!r}?)" if close else "")


def _rows(file: Path) -> Iterator[tuple[str, str, str, bool]]:
    """Where it stands, two paths, and whether they are the same, for each pair."""
    try:
        is_parquet = file.suffix.lower() in PARQUET_EXTENSIONS
        header, lines = _parquet_lines(file) if is_parquet else _csv_lines(file)
    except (OSError, pa.ArrowException, UnicodeDecodeError, csv.Error) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise InputError(f"{file} cannot be read as a table of pairs: {reason}. {FORM}") from error
    first, second, third, meaning = _columns(file, header)
    wrong = []
    for where, cells in lines:
        said = meaning.get(cells[third].strip().lower()) if len(cells) == len(header) else None
        if said is None or not cells[first].strip() or not cells[second].strip():
            wrong.append(f"{where}, {','.join(cells)!r:.120}")
        else:
            yield where, cells[first], cells[second], said == SAME
    if wrong:
        more = f"; and {counted(len(wrong) - 3, 'more line')}" if len(wrong) > 3 else ""
        raise InputError(
            f"{file} must have two paths and one of {', '.join(meaning)} in each line; {len(wrong):,} of {len(lines):,} "
            f"lines do not: {'; '.join(wrong[:3])}{more}."
        )


def _columns(file: Path, header: Sequence[str]) -> tuple[int, int, int, dict[str, int]]:
    """Which columns hold the two paths and the relation, and what the words in that mean."""
    names = [name.strip().lower() for name in header]
    relation = [name for name in ("relation", "same") if names.count(name) == 1]
    if len(relation) == 1:
        third = names.index(relation[0])
        known = [pair for pair in PATH_COLUMNS if names.count(pair[0]) == names.count(pair[1]) == 1]
        others = [k for k in range(len(names)) if k != third]
        paths = [names.index(name) for name in known[0]] if len(known) == 1 else others
        if len(paths) == 2:
            return paths[0], paths[1], third, RELATION_COLUMN if relation[0] == "relation" else SAME_COLUMN
    raise InputError(f"{file} has the columns {', '.join(map(repr, header))}. {FORM}")


def _csv_lines(file: Path) -> tuple[Sequence[str], list[tuple[str, list[str]]]]:
    text = file.read_bytes().decode("utf-8-sig")
    if "\0" in text:
        raise csv.Error("it holds zero bytes, which text does not")
    start = next((line for line in text.splitlines() if line.strip()), "")
    separator = max(SEPARATORS, key=lambda each: len(next(csv.reader([start], delimiter=each), [])))
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    lines = [(f"line {reader.line_num}", cells) for cells in reader if any(cell.strip() for cell in cells)]
    if not lines:
        return COLUMNS, []
    top = lines[0][1]
    # A header may well say "same", so what is above it tells: files have an extension, and columns have none.
    is_pair = len(top) == 3 and top[2].strip().lower() in RELATION_COLUMN and "." in top[0] and "." in top[1]
    return (COLUMNS, lines) if is_pair else (top, lines[1:])


def _parquet_lines(file: Path) -> tuple[Sequence[str], list[tuple[str, list[str]]]]:
    table = pyarrow.parquet.read_table(file)
    columns = [[_text(cell) for cell in column.to_pylist()] for column in table.columns]
    return table.column_names, [(f"row {k}", list(cells)) for k, cells in enumerate(zip(*columns, strict=True))]


def _text(cell: object) -> str:
    """As it would be written in a CSV file; 1.0, which programs make of 1 where a column has gaps, is 1."""
    if cell is None:
        return ""
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
