"""A space comes back as it was written, what is none is named, and embeddings of another encoder are noticed."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from reunite.cli.space_file import NAME, SAMPLED, Sample, read_space, write_space
from reunite.errors import InputError
from reunite.identities.whitening import Space, Whitening
from reunite.types import unit_rows


def some(rng: np.random.Generator, d: int = 5) -> Whitening:
    return Whitening(rng.standard_normal(d).astype(np.float32), rng.standard_normal((d, d)).astype(np.float32).T)


def images(rng: np.random.Generator, count: int, d: int = 5) -> tuple[list[str], np.ndarray]:
    return [f"a folder/{i}.jpg" for i in range(count)], rng.standard_normal((count, d)).astype(np.float32)


@pytest.mark.parametrize("count", [0, 1, 63, 64, 65, 1000])
def test_it_comes_back(tmp_path, rng, count):
    names, rows = images(rng, count)
    for space in (Space(), Space(some(rng)), Space(None, some(rng)), Space(some(rng), some(rng))):
        write_space(space, Sample.of(names, rows), tmp_path)
        found, sample = read_space(tmp_path)
        assert (found.half is None, found.within is None) == (space.half is None, space.within is None)
        np.testing.assert_array_equal(found(rows), space(rows))
        assert len(sample.names) == min(count, SAMPLED) == len(set(sample.names))
        at = [names.index(name) for name in sample.names]
        np.testing.assert_allclose(sample.embeddings, unit_rows(rows[at]), atol=1e-6)
        assert not count or (at[0], at[-1]) == (0, count - 1)
    assert [file.name for file in tmp_path.iterdir()] == [NAME]


def test_another_encoder_is_noticed(rng):
    names, rows = images(rng, 100, 32)
    sample = Sample.of(names, rows)
    at = np.array([names.index(name) for name in sample.names])
    order = rng.permutation(100)
    moved = np.argsort(order)[at]  # where each of the sample is after the images were put into another order
    gone = np.where(np.arange(len(at)) % 2, moved, -1)
    for now in (moved, gone):
        assert sample.same_encoder(3 * rows[order], now)
        assert sample.same_encoder(rows[order] + 0.01 * rng.standard_normal(rows.shape), now)
        assert not sample.same_encoder(rows, now)
        assert not sample.same_encoder(rng.standard_normal(rows.shape), now)
        assert not sample.same_encoder(rows[order] + 0.3 * rng.standard_normal(rows.shape), now)
        assert not sample.same_encoder(rows[order, :31], now)
    assert not sample.same_encoder(rows, np.full(len(at), -1))  # nothing to compare


def test_there_is_none(tmp_path):
    assert read_space(tmp_path) is None


SAMPLE, NAMES = np.zeros((1, 3), np.float32), {"sample": '["a"]'}


@pytest.mark.parametrize(
    ("tensors", "metadata"),
    [
        ({"half.mean": SAMPLE[0], "sample": SAMPLE}, NAMES),
        ({"other.mean": SAMPLE[0], "other.matrix": np.eye(3, dtype=np.float32), "sample": SAMPLE}, NAMES),
        ({"half.mean": SAMPLE[0], "half.matrix": np.eye(2, dtype=np.float32), "sample": SAMPLE}, NAMES),
        ({"half.mean": SAMPLE[0], "half.matrix": SAMPLE, "sample": SAMPLE}, NAMES),
        ({"half.mean": SAMPLE[0, :2], "half.matrix": np.eye(2, dtype=np.float32), "sample": SAMPLE}, NAMES),
        ({"sample": SAMPLE[0]}, NAMES),
        ({"sample": SAMPLE}, {"sample": '["a", "b"]'}),
        ({"sample": SAMPLE}, {"sample": "["}),
        ({"sample": SAMPLE}, {"other": "1"}),
        ({"sample": SAMPLE}, None),
        ({"mean": SAMPLE}, NAMES),
    ],
)
def test_something_else_is_named(tmp_path, tensors, metadata):
    save_file(tensors, tmp_path / NAME, metadata)
    with pytest.raises(InputError, match=r"cannot be read as a space .*learned anew"):
        read_space(tmp_path)


def test_a_damaged_one_is_named(tmp_path):
    (tmp_path / NAME).write_bytes(b"half")
    with pytest.raises(InputError, match="cannot be read as a space"):
        read_space(tmp_path)
