from __future__ import annotations

import pytest
from huggingface_hub import constants

from reunite.errors import WeightsError
from reunite.model import Encoder
from reunite.model.hub import at_once_when_offline


def no_name(*args, **kwargs):
    raise OSError("Name or service not known")


def test_without_a_name_server_the_client_is_offline_for_the_while(monkeypatch):
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    before = constants.HF_HUB_OFFLINE
    with at_once_when_offline():
        assert constants.HF_HUB_OFFLINE
    assert before == constants.HF_HUB_OFFLINE


def test_a_proxy_or_a_name_that_resolves_leaves_it_as_it_was(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    monkeypatch.setattr("urllib.request.getproxies", lambda: {"https": "proxy:3128"})
    with at_once_when_offline():
        assert not constants.HF_HUB_OFFLINE
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr("socket.getaddrinfo", lambda *args: [])
    with at_once_when_offline():
        assert not constants.HF_HUB_OFFLINE


def test_pretrained_weights_that_cannot_be_had_are_told_at_once(monkeypatch, tmp_path):
    monkeypatch.setattr("socket.getaddrinfo", no_name)
    monkeypatch.setattr("urllib.request.getproxies", dict)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(WeightsError, match="weights=FILE"):
        Encoder("hf-hub:nobody/has-this-network")
