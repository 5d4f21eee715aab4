"""The benchmarks are a folder beside the package, not part of it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[2]))

from benchmarks.packages import optional

optional("faiss")  # before Infomap, see there
