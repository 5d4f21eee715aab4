"""Asking the model hub without waiting for one that cannot be reached."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from huggingface_hub import constants


@contextmanager
def at_once_when_offline() -> Iterator[None]:
    """Within, the hub's client uses its cache and nothing else if the hub's name cannot even be resolved.

    Left to itself the client retries for most of a minute before it says so.
    """
    offline = constants.HF_HUB_OFFLINE
    try:
        constants.HF_HUB_OFFLINE = offline or not _has_a_way_to(urlsplit(constants.ENDPOINT).hostname)
        yield
    finally:
        constants.HF_HUB_OFFLINE = offline


def _has_a_way_to(host: str | None) -> bool:
    if host is None or urllib.request.getproxies():
        return True  # a proxy resolves names itself
    try:
        socket.getaddrinfo(host, 443)
    except OSError:
        return False
    return True
