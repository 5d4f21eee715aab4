"""The verbs, and what their endings mean: 0 done, 2 the input is wrong (one line, no traceback), 1 a defect of ours."""

from __future__ import annotations

import logging
import signal
import sys
from typing import Annotated

import typer

from reunite import __version__
from reunite.cli.crop import crop
from reunite.cli.demo import demo
from reunite.cli.display import errors
from reunite.cli.embed import embed
from reunite.cli.evaluate import evaluate
from reunite.cli.identify import identify
from reunite.cli.report import report
from reunite.cli.train import train
from reunite.errors import ReuniteError

app = typer.Typer(
    name="reunite",
    help="Brings the images of one individual together again: re-identification by clustering.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for verb in (demo, train, evaluate, embed, crop, identify, report):
    app.command()(verb)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"reunite {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Brings the images of one individual together again: re-identification by clustering."""


def main() -> None:
    """Runs the command line; the entry point of the `reunite` program."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # its retries would bury our one line
    signal.signal(signal.SIGTERM, _stop)
    try:
        app()
    except ReuniteError as error:
        if not error.told:
            errors.print(f"[bold red]error:[/] {_plain(str(error))}", soft_wrap=True, highlight=False)
        sys.exit(2)
    except KeyboardInterrupt:
        errors.print("stopped; the same command goes on from the last checkpoint")
        sys.exit(130)


def _stop(number: int, frame: object) -> None:
    errors.print("stopped; the same command goes on from the last checkpoint")
    sys.exit(128 + number)


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("[", "\\[")
