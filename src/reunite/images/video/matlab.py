"""Tables of whole numbers in MATLAB files, which several public data sets keep their split in."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from jaxtyping import Int64
from scipy.io import loadmat

from reunite.errors import ReaderError

LARGEST = 2.0**53
"""MATLAB counts in doubles, which hold every whole number up to here."""


def read_matrix(path: Path, variable: str, shape: tuple[int | None, int | None]) -> Int64[np.ndarray, "rows columns"]:
    """The matrix `variable` of a MATLAB file (versions 4 to 7), whatever type of number it is saved as.

    Args:
        path: the .mat file.
        variable: name of the variable in it.
        shape: rows and columns it must have; None for any number but zero.

    Raises:
        ReaderError: a file of MATLAB 7.3, a damaged file, no such variable, another shape, or no whole numbers.
        OSError: the file cannot be opened.
    """
    with path.open("rb") as file:
        try:
            # An open file, so that a file that cannot be opened raises as everywhere; the stubs know paths only.
            value = loadmat(file, variable_names=[variable]).get(variable)  # type: ignore[arg-type]
        except NotImplementedError as error:
            raise ReaderError(
                f"{path} is a file of MATLAB 7.3 (HDF5), which cannot be read. Load it in MATLAB or Octave and save it "
                "again with the option -v7."
            ) from error
        except Exception as error:  # loadmat trusts what it reads, so a damaged file ends in almost any error
            raise ReaderError(
                f"{path} cannot be read as a MATLAB file ({type(error).__name__}). It is damaged or something else; "
                "unpack the data set again."
            ) from error
    if value is None:
        raise ReaderError(f"{path} holds no variable {variable}. Unpack the data set again.")
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        raise ReaderError(
            f"{variable} in {path} must be a matrix of numbers, which it is not. Unpack the data set again."
        )
    if not _fits(value.shape, shape):
        rows, columns = ("any number" if size is None else f"{size:,}" for size in shape)
        raise ReaderError(
            f"{variable} in {path} must have {rows} of rows and {columns} of columns; got shape {value.shape}. "
            "Unpack the data set again."
        )
    whole = (np.abs(value, dtype=np.float64) <= LARGEST) & (value == np.floor(value))  # false for NaN and infinity
    if not whole.all():
        row, column = np.argwhere(~whole)[0]
        raise ReaderError(
            f"{variable} in {path} must hold whole numbers; row {row + 1}, column {column + 1} is "
            f"{value[row, column]}. Unpack the data set again."
        )
    return value.astype(np.int64)


def _fits(got: tuple[int, ...], expected: tuple[int | None, int | None]) -> bool:
    return len(got) == 2 and all(
        size > 0 if wanted is None else size == wanted for size, wanted in zip(got, expected, strict=True)
    )
