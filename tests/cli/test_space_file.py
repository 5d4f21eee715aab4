"""A space comes back as it was written, and what is none is named."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from reunite.cli.space_file import NAME, read_space, write_space
from reunite.errors import InputError
from reunite.identities.whitening import Space, Whitening


def some(rng: np.random.Generator, d: int = 5) -> Whitening:
    return Whitening(rng.standard_normal(d).astype(np.float32), rng.standard_normal((d, d)).astype(np.float32).T)


def test_it_comes_back(tmp_path, rng):
    rows = rng.standard_normal((7, 5)).astype(np.float32)
    for space in (Space(), Space(some(rng)), Space(None, some(rng)), Space(some(rng), some(rng))):
        write_space(space, tmp_path)
        found = read_space(tmp_path)
        assert (found.half is None, found.within is None) == (space.half is None, space.within is None)
        np.testing.assert_array_equal(found(rows), space(rows))
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_there_is_none(tmp_path):
    assert read_space(tmp_path) is None


@pytest.mark.parametrize(
    "tensors",
    [
        {"half.mean": np.zeros(3, np.float32)},
        {"other.mean": np.zeros(3, np.float32), "other.matrix": np.eye(3, dtype=np.float32)},
        {"half.mean": np.zeros(3, np.float32), "half.matrix": np.eye(2, dtype=np.float32)},
        {"half.mean": np.zeros((3, 1), np.float32), "half.matrix": np.eye(3, dtype=np.float32)},
    ],
)
def test_something_else_is_named(tmp_path, tensors):
    save_file(tensors, tmp_path / NAME)
    with pytest.raises(InputError, match=r"cannot be read as a space .*learned anew"):
        read_space(tmp_path)


def test_a_damaged_one_is_named(tmp_path):
    (tmp_path / NAME).write_bytes(b"half")
    with pytest.raises(InputError, match="cannot be read as a space"):
        read_space(tmp_path)
