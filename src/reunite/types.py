"""The nouns every room shares. Each is checked once, at the door, and then trusted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64, Shaped
from numpy.typing import ArrayLike

from reunite.errors import InputError

UNKNOWN = -1
"""Identity, camera or track that is not known. In a gallery, an unknown identity is junk and is ignored."""

NOISE = -1
"""Label of a row that belongs to no cluster."""


def check_embeddings(array: ArrayLike, name: str = "embeddings") -> Float32[np.ndarray, "n d"]:
    """`array` as finite, C-contiguous float32 rows; the input itself is never changed.

    Raises:
        InputError: not two-dimensional, no columns, or not finite (the first bad row is named).
    """
    return _checked(array, name)[0]


def check_unit_rows(array: ArrayLike, name: str = "embeddings") -> Float32[np.ndarray, "n d"]:
    """`unit_rows` of `check_embeddings`, in one pass over rows that are of length one already."""
    return _unit_rows(*_checked(array, name))


def unit_rows(embeddings: Float[np.ndarray, "n d"]) -> Float[np.ndarray, "n d"]:
    """Rows of length one: the array itself if they are that already, up to rounding, and else a copy.

    Most embeddings come as unit rows, and another array of their size is what a large set has no memory for. A row of zeros
    has no direction and stays zero. Do not write to the result.
    """
    return _unit_rows(embeddings, _squares(embeddings))


def evenly_spread(count: int, most: int) -> Int64[np.ndarray, " m"]:
    """Places 0, 1, ... of `count` things, or `most` of them, evenly spread from the first to the last; ascending."""
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, most)).round().astype(np.int64))


def _squares(rows: Float[np.ndarray, "n d"]) -> Float[np.ndarray, " n"]:
    """The squares of the lengths; infinity and NaN, without a warning, where rows hold such numbers, or too large ones."""
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return np.einsum("ij,ij->i", rows, rows)  # one pass, and no array of the size of the rows


def _checked(array: ArrayLike, name: str) -> tuple[Float32[np.ndarray, "n d"], Float32[np.ndarray, " n"]]:
    rows = np.ascontiguousarray(array, dtype=np.float32)
    if rows.ndim != 2 or rows.shape[1] == 0:
        raise InputError(f"{name} must have shape (n, d) with d >= 1; got shape {rows.shape}.")
    squares = _squares(rows)
    if not np.isfinite(squares).all() and not (finite := np.isfinite(rows).all(axis=1)).all():
        first = int(np.flatnonzero(~finite)[0])
        raise InputError(
            f"{name} must be finite; {int((~finite).sum()):,} of {len(rows):,} rows hold NaN or infinity "
            f"(the first is row {first}). Drop those rows, or look at what produced them."
        )
    return rows, squares


def _unit_rows(embeddings: Float[np.ndarray, "n d"], squares: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n d"]:
    step = np.finfo(embeddings.dtype).eps
    if (np.abs(squares - 1) <= 16 * step).all():  # 8 steps of the length
        return embeddings
    extreme = ~((squares > 1e-30) & (squares < 1e30))  # and possibly beyond what their squares can say in float32
    squares = squares.astype(np.float64)
    squares[extreme] = np.square(embeddings[extreme], dtype=np.float64).sum(axis=1)
    lengths = np.sqrt(squares)[:, None]
    return embeddings / np.where(lengths == 0, 1, lengths).astype(embeddings.dtype)


def check_codes(values: ArrayLike | None, count: int, name: str) -> Int64[np.ndarray, " n"]:
    """`values` as `count` integers; None means none is known (-1 everywhere).

    Raises:
        InputError: another length, or not whole numbers.
    """
    if values is None:
        return np.full(count, UNKNOWN, np.int64)
    given = np.asarray(values)
    if given.shape != (count,):
        raise InputError(f"{name} must have shape ({count},), one number per row; got shape {given.shape}.")
    codes = _whole_numbers(given)
    if codes is None:
        raise InputError(f"{name} must be whole numbers with -1 for unknown; got {given.dtype} values.")
    return codes


def _whole_numbers(given: Shaped[np.ndarray, " n"]) -> Int64[np.ndarray, " n"] | None:
    """The same numbers as integers, also those of a column of Python objects; None if some are not whole."""
    if given.dtype.kind not in "biufO" or (given.dtype.kind == "f" and not np.isfinite(given).all()):
        return None
    try:
        codes = given.astype(np.int64)
    except (TypeError, ValueError, OverflowError):  # objects that are no numbers
        return None
    return codes if np.array_equal(codes, given) else None


@dataclass(frozen=True, eq=False)
class Images:
    """Image files and what is known about each of them. Arrays of length n; build with `Images.of`.

    Attributes:
        paths: absolute file names, (n,) str.
        identity: the individual shown, (n,) int64; -1 unknown.
        camera: the camera that saw it, (n,) int64; -1 unknown.
        track: the tracklet the image belongs to, (n,) int64; -1 unknown.
        time: seconds, (n,) float64; NaN unknown.
    """

    paths: Shaped[np.ndarray, " n"]
    identity: Int64[np.ndarray, " n"]
    camera: Int64[np.ndarray, " n"]
    track: Int64[np.ndarray, " n"]
    time: Float64[np.ndarray, " n"]

    @classmethod
    def of(
        cls,
        paths: Sequence[str] | Shaped[np.ndarray, " n"],
        identity: ArrayLike | None = None,
        camera: ArrayLike | None = None,
        track: ArrayLike | None = None,
        time: ArrayLike | None = None,
    ) -> Images:
        """Images with every missing column filled with "unknown".

        Raises:
            InputError: columns of different lengths, or codes that are not whole numbers.
        """
        names = np.asarray(paths, dtype=np.str_).reshape(-1)
        count = len(names)
        seconds = np.full(count, np.nan) if time is None else np.asarray(time, dtype=np.float64)
        if seconds.shape != (count,):
            raise InputError(f"time must have shape ({count},), one number per image; got shape {seconds.shape}.")
        return cls(
            names,
            check_codes(identity, count, "identity"),
            check_codes(camera, count, "camera"),
            check_codes(track, count, "track"),
            seconds,
        )

    def __len__(self) -> int:
        return len(self.paths)

    def take(self, rows: Shaped[np.ndarray, " m"]) -> Images:
        """The images at these positions (or where this mask is true), in that order."""
        return Images(*(getattr(self, field.name)[rows] for field in fields(self)))


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set: images to train on, and a query and a gallery to test with (both empty without identities).

    Attributes:
        name: short name, as printed.
        train, query, gallery: the three parts. An image may be in both query and gallery; it is then ignored for itself.
        identity_names: how identity i is written on disk; empty when identities are the numbers on disk.
        camera_names: likewise for cameras.
        note: one sentence that says how train, query and gallery came about.
    """

    name: str
    train: Images
    query: Images
    gallery: Images
    identity_names: tuple[str, ...] = ()
    camera_names: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, eq=False)
class Clusters:
    """A partition in canonical form: clusters are numbered 0, 1, ... by their first member; -1 is noise."""

    labels: Int64[np.ndarray, " n"]
    count: int

    @classmethod
    def of(cls, labels: ArrayLike) -> Clusters:
        """The canonical form of any labels; negative labels are noise.

        Raises:
            InputError: not one-dimensional whole numbers.
        """
        given = check_codes(labels, len(np.atleast_1d(np.asarray(labels))), "labels")
        names, first, inverse = np.unique(given, return_index=True, return_inverse=True)
        kept = names >= 0
        order = np.full(len(names), NOISE, np.int64)
        order[np.flatnonzero(kept)[np.argsort(first[kept])]] = np.arange(int(kept.sum()))
        return cls(order[inverse], int(kept.sum()))

    @property
    def noise(self) -> int:
        """How many rows belong to no cluster."""
        return int((self.labels == NOISE).sum())

    @property
    def sizes(self) -> Int64[np.ndarray, " c"]:
        """Members of each cluster, (count,)."""
        return np.bincount(self.labels[self.labels >= 0], minlength=self.count)


@dataclass(frozen=True, eq=False)
class Scores:
    """How well queries find their own individual in a gallery. Fractions in [0, 1].

    Attributes:
        mAP: mean average precision.
        mINP: mean inverse negative penalty (Ye et al. 2021): effort to find the last match.
        cmc: cumulative matching characteristic; cmc[0] is rank-1.
        queries: queries that have a match in the gallery and were scored.
        skipped: queries without any match, not scored.
        average_precision: AP of each query, (q,); NaN where skipped.
    """

    mAP: float
    mINP: float
    cmc: Float64[np.ndarray, " r"]
    queries: int
    skipped: int
    average_precision: Float64[np.ndarray, " q"]

    @property
    def rank1(self) -> float:
        """Share of queries whose nearest gallery image shows the same individual."""
        return float(self.cmc[0])


@dataclass(frozen=True, eq=False)
class ClusterScores:
    """How well clusters match identities. Noise counts as singletons; fractions in [0, 1] (ari may be below 0).

    Attributes:
        ari: adjusted Rand index. nmi: normalised mutual information (arithmetic mean).
        pairwise_f: F1 over pairs of images put together. bcubed_f: B-cubed F1 over images.
        purity: share of images in the majority identity of their cluster.
        clusters: clusters found, noise not counted. noise: images that belong to no cluster.
        identities: true identities. splits: those in more than one cluster. merges: clusters with more than one identity.
    """

    ari: float
    nmi: float
    pairwise_f: float
    bcubed_f: float
    purity: float
    clusters: int
    noise: int
    identities: int
    splits: int
    merges: int
