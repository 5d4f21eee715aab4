from __future__ import annotations

import os
import pickle

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from reunite.errors import WeightsError
from reunite.model import Encoder
from reunite.model.weights import load_into, read_weights


def test_plain_and_wrapped_state_dicts_are_read_alike(tmp_path):
    tensors = {"a.weight": torch.ones(2, 2)}
    save_file(tensors, tmp_path / "plain.safetensors")
    torch.save(tensors, tmp_path / "plain.pth")
    torch.save({"state_dict": {"module.a.weight": torch.ones(2, 2)}, "epoch": 3}, tmp_path / "wrapped.pth.tar")
    for name in ("plain.safetensors", "plain.pth", "wrapped.pth.tar"):
        found = read_weights(tmp_path / name)
        assert list(found) == ["a.weight"]
        assert torch.equal(found["a.weight"], torch.ones(2, 2))


def test_a_file_that_runs_code_is_refused_without_running_it(tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    (tmp_path / "bomb.pth").write_bytes(pickle.dumps({"weight": Bomb()}))
    torch.save({"weight": Bomb()}, tmp_path / "bomb2.pth")
    for name in ("bomb.pth", "bomb2.pth"):
        with pytest.raises(WeightsError, match="cannot be read as tensors"):
            read_weights(tmp_path / name)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.parametrize("content", [b"", b"not a tensor file", b"\x00" * 100])
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth"])
def test_damaged_files_end_in_a_sentence(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match="cannot be read"):
        read_weights(tmp_path / name)


def test_missing_file_and_files_without_tensors(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        read_weights(tmp_path / "none.pth")
    torch.save({"epoch": 3}, tmp_path / "epoch.pth")
    with pytest.raises(WeightsError, match="no named tensors"):
        read_weights(tmp_path / "epoch.pth")


def test_weights_of_another_network_are_refused_with_names(tmp_path):
    save_file({"features.0.weight": torch.ones(1)}, tmp_path / "w.safetensors")
    with pytest.raises(WeightsError, match=r"does not fit backbone 'conv4'.*features\.0\.weight"):
        Encoder("conv4", weights=str(tmp_path / "w.safetensors"), image_size=(32, 32))


def test_values_arrive_heads_are_ignored_and_nan_is_refused(tmp_path):
    source, target = nn.Linear(2, 3), nn.Linear(2, 3)
    state = {name: value.half() for name, value in source.state_dict().items()}
    save_file({**state, "classifier.weight": torch.ones(1)}, tmp_path / "w.safetensors")
    load_into(target, tmp_path / "w.safetensors", "linear")
    torch.testing.assert_close(target.weight, source.weight.half().float())
    save_file({**state, "bias": torch.full((3,), float("nan"))}, tmp_path / "nan.safetensors")
    with pytest.raises(WeightsError, match="NaN"):
        load_into(target, tmp_path / "nan.safetensors", "linear")
