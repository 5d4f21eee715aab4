"""The command line: ``reunite demo | train | evaluate | embed | report``."""

from reunite.cli.main import main

__all__ = ["main"]
