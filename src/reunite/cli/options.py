"""Options that verbs share, and how their text becomes objects."""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, cast

import torch
import typer
from accelerate import Accelerator

from reunite import recipes
from reunite.errors import InputError
from reunite.images.tracklets import Frames
from reunite.train import Recipe
from reunite.train.describe import set_field
from reunite.train.run import Run

Data = Annotated[
    Path, typer.Argument(help="A folder of images, a public data set, or a CSV or Parquet table.", show_default=False)
]
RunFolder = Annotated[Path, typer.Argument(help="A run folder, as `reunite train` leaves it.", show_default=False)]
Seed = Annotated[int, typer.Option(help="Of every random number drawn.", min=0)]
Device = Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, mps; the best there is when left out.")]
OnError = Annotated[
    str, typer.Option(help="Images that cannot be read: raise (stop and name them) or skip.", metavar="raise|skip")
]
HowPrecise = Annotated[
    str,
    typer.Option(
        "--precision",
        help="What the backbone computes in. bfloat16 is faster on processors that have it, with other third digits.",
        metavar="float32|bfloat16|auto",
    ),
]
AsTracklets = Annotated[
    bool | None,
    typer.Option(
        "--tracklets/--images", help="Whether tracklets or single images are embedded; as in training when left out."
    ),
]
Rate = Annotated[
    float | None, typer.Option(help="Frames per second, where neither the videos nor a seqinfo.ini tell.", min=0.0)
]
OnBox = Annotated[
    str,
    typer.Option(
        "--on-error",
        help="Boxes and frames that cannot be used: raise (stop and name them) or skip.",
        metavar="raise|skip",
    ),
]
Memory = Annotated[float, typer.Option(help="GiB that decoded images may take.", min=0)]


def on_error_of(text: str) -> Literal["raise", "skip"]:
    """Checks the value of --on-error."""
    if text not in ("raise", "skip"):
        raise InputError(f"--on-error must be raise or skip; got {text!r}.")
    return cast(Literal["raise", "skip"], text)


def frames_of(run: Run, as_tracklets: bool | None) -> Frames | None:
    """How tracklets are embedded, or None for single images: as the run was trained, or as asked."""
    wanted = run.tracklets is not None if as_tracklets is None else as_tracklets
    return (run.tracklets or Frames()) if wanted else None


def accelerator_of(device: str | None, precision: str = "float32") -> Accelerator:
    """An accelerator on that device, that trains in that precision.

    Raises:
        InputError: PyTorch does not know the device, or this machine does not have it.
    """
    if precision not in ("float32", "bfloat16"):
        raise InputError(f"--precision must be float32 or bfloat16; got {precision!r}.")
    mixed = "bf16" if precision == "bfloat16" else None
    if device is None:
        return Accelerator(mixed_precision=mixed)
    try:
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise InputError(f"Device {device!r} is not to be had here ({str(error).splitlines()[0]}).") from error
    if device.startswith("cuda:"):
        torch.cuda.set_device(device)
    return Accelerator(cpu=device == "cpu", mixed_precision=mixed)


def recipe_of(text: str, settings: list[str]) -> Recipe:
    """A recipe by name, as FILE.py:FUNCTION or of a run folder, with fields changed by FIELD=VALUE settings.

    Raises:
        InputError: no such recipe, file, function or field.
    """
    recipe = Run.open(text).recipe() if (Path(text) / "run.json").is_file() else _function(text)()
    if not isinstance(recipe, Recipe):
        raise InputError(f"{text} must return a reunite.train.Recipe; it returned {type(recipe).__name__}.")
    for setting in settings:
        path, equals, value = setting.partition("=")
        if not equals:
            raise InputError(f"--set takes FIELD=VALUE, for example clusterer.eps=0.5; got {setting!r}.")
        recipe = set_field(recipe, path.strip(), value.strip())
    return recipe


def _function(text: str) -> Callable[[], Recipe]:
    if ".py:" in text:
        file, _, name = text.rpartition(":")
        return _from_file(Path(file), name)
    name = text.replace("-", "_")
    if name not in recipes.__all__:
        close = difflib.get_close_matches(name, recipes.__all__, 1)
        known = ", ".join(each.replace("_", "-") for each in recipes.__all__)
        hint = f" Did you mean {close[0].replace('_', '-')}?" if close else ""
        raise InputError(
            f"No recipe is called {text!r}.{hint} Known: {known}; or FILE.py:FUNCTION of your own, or a run folder."
        )
    return getattr(recipes, name)


def _from_file(file: Path, name: str) -> Callable[[], Recipe]:
    if not file.is_file():
        raise InputError(f"Recipe file {str(file)!r} does not exist.")
    spec = importlib.util.spec_from_file_location(file.stem, file)
    if spec is None or spec.loader is None:
        raise InputError(f"{str(file)!r} is not a Python file.")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    function = getattr(module, name, None)
    if not callable(function):
        raise InputError(f"{str(file)!r} has no function {name!r}.")
    return function
