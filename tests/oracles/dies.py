"""A command line that is killed at a chosen moment: STAGE COUNT ARGUMENTS."""

from __future__ import annotations

import importlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from reunite.cli import main
from reunite.cluster import JaccardDBSCAN

calls = 0


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function: Callable[..., Any], count: int, within: Callable[..., None] | None = None) -> Callable[..., Any]:
    """The function, but that its process is killed in the middle of the `count`-th call."""

    def call(*arguments: Any, **options: Any) -> Any:
        global calls
        calls += 1
        if calls == count:
            (within or (lambda *given, **more: None))(*arguments, **options)
            kill()
        return function(*arguments, **options)

    return call


def main_dying(stage: str, count: int) -> None:
    """Runs the command line; the `count`-th time that it comes to this stage, it is killed there."""
    inputs, session, checkpoint, command = (
        importlib.import_module(f"reunite.{name}")
        for name in ("train.inputs", "train.session", "train.checkpoint", "cli.train")
    )
    if stage == "embedding":
        inputs.embed_twice = dying(inputs.embed_twice, count)
    elif stage == "clustering":
        JaccardDBSCAN.fit_predict = dying(JaccardDBSCAN.fit_predict, count)
    elif stage == "step":
        session.take_step = dying(session.take_step, count)
    elif stage == "writing":
        save = checkpoint.save_file

        def half(tensors: Any, path: Path, metadata: Any) -> None:
            save(tensors, path, metadata)
            content = path.read_bytes()
            path.write_bytes(content[: len(content) // 2])

        checkpoint.save_file = dying(save, count, half)
    elif stage == "testing":
        command._Tester.scores = dying(command._Tester.scores, count)
    main()


if __name__ == "__main__":
    stage, count, sys.argv = sys.argv[1], int(sys.argv[2]), ["reunite", *sys.argv[3:]]
    main_dying(stage, count)
