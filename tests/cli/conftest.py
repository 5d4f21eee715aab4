"""The command line, run in process."""

from __future__ import annotations

import sys

import pytest

from reunite.cli import main


@pytest.fixture
def reunite(monkeypatch, capsys):
    """Runs `reunite ARGUMENTS`; gives back exit code, standard output and standard error."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["reunite", *map(str, arguments)])
        monkeypatch.setenv("COLUMNS", "160")
        try:
            code = main()
        except SystemExit as end:
            code = end.code
        printed = capsys.readouterr()
        return code or 0, printed.out, printed.err

    return run
