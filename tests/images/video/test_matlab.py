"""Matrices of MATLAB files are read whatever they were saved as, and anything else ends in a sentence."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat

from reunite.errors import ReaderError
from reunite.images.video.matlab import read_matrix


def put_matrix(path: Path, variable: str, value: object, **options: object) -> None:
    savemat(path, {variable: value}, **options)


@pytest.mark.parametrize("number", [np.float64, np.int32, np.uint16])
@pytest.mark.parametrize("options", [{}, {"do_compression": True}, {"format": "4"}], ids=str)
def test_matrix(tmp_path: Path, number: type, options: dict[str, object]) -> None:
    table = np.arange(6, dtype=number).reshape(2, 3)
    put_matrix(tmp_path / "a.mat", "a", table, **options)
    read_back = read_matrix(tmp_path / "a.mat", "a", (None, 3))
    assert read_back.dtype == np.int64
    assert np.array_equal(read_back, table)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.ones((4, 2)), r"any number of rows and 4 of columns; got shape \(4, 2\)"),
        (np.ones((2, 4, 1, 2)), r"got shape \(2, 4, 1, 2\)"),
        (np.ones((0, 4)), r"got shape \(0, 4\)"),
        (np.array([[1, 2, 3, 4], [1, 2, 3.5, 4]]), r"whole numbers; row 2, column 3 is 3\.5"),
        (np.array([[1, np.nan, 3, 4]]), "row 1, column 2 is nan"),
        (np.array([[1, 2, 3, np.inf]]), "row 1, column 4 is inf"),
        (np.array([[1, 2, 3, 1e300]]), "row 1, column 4 is 1e"),
        (np.array([["a", 2], [3, 4]], dtype=object), "must be a matrix of numbers"),
        ("text", "must be a matrix of numbers"),
        ({"first": 1}, "must be a matrix of numbers"),
        (np.ones((2, 4)) * 1j, "must be a matrix of numbers"),
    ],
)
def test_matrices_that_are_not_what_they_should_be(tmp_path: Path, value: object, message: str) -> None:
    put_matrix(tmp_path / "a.mat", "a", value)
    with pytest.raises(ReaderError, match=message):
        read_matrix(tmp_path / "a.mat", "a", (None, 4))


@pytest.mark.filterwarnings("ignore")  # what scipy says about damage before it gives up
@pytest.mark.parametrize("compressed", [True, False])
def test_damaged_matlab_files_end_in_a_sentence(tmp_path: Path, compressed: bool) -> None:
    table = np.arange(40, dtype=np.int32).reshape(10, 4)
    file = tmp_path / "a.mat"
    put_matrix(file, "a", table, do_compression=compressed)
    whole = file.read_bytes()
    rng = np.random.default_rng(0)
    refused = 0
    cuts = [whole[:length] for length in range(0, len(whole), 7)]
    # Where nothing is compressed nothing is checked: a flip may go unnoticed, and scipy reads past the end of its table
    # of types if one hits the type of the data.
    flips = [bytearray(whole) for _ in range(100 if compressed else 0)]
    for flipped in flips:
        flipped[rng.integers(116, len(whole))] ^= 1 << int(rng.integers(8))
    for damaged in [b"", b"not MATLAB at all" * 40, *cuts, *map(bytes, flips)]:
        file.write_bytes(damaged)
        try:
            read_matrix(file, "a", (None, 4))
        except ReaderError as error:
            assert str(file) in str(error)
            refused += 1
    assert refused > len(cuts)
