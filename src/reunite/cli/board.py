"""Curves in TensorBoard, where it is installed. The same numbers are in scores.jsonl always."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any


def write_board(folder: Path, line: dict[str, Any]) -> None:
    """Adds a round's numbers to a TensorBoard log; without TensorBoard, nothing happens."""
    if importlib.util.find_spec("tensorboard") is None:
        return
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(folder)) as writer:
        for name, value in line.items():
            if name != "round" and isinstance(value, (int, float)):
                group, _, rest = name.partition("_")
                tag = f"{group}/{rest}" if group in ("seconds", "peak") else name
                writer.add_scalar(tag, value, line["round"])
