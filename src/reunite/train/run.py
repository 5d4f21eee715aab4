"""The run folder: what a training run leaves behind, and how it goes on after a stop.

run.json                 what was run: recipe, encoder, seed, data, command, versions
scores.jsonl             a line per round: loss, clusters, noise, scores, seconds
labels/000.npy           the clusters of each round, in the order of images.json
images.json              paths of the training images, or of one frame of each training tracklet
before.json              retrieval scores of the untrained encoder, where the data has a test
checkpoints/00000.safetensors           weights, optimizer, labels after a round: of the last one, or the last two
checkpoints/00001-0000040.safetensors   likewise in the middle of a round, after 40 of its steps
scores.json              the last evaluation, written by `reunite evaluate`
report.html              written by `reunite report`
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from reunite.errors import RunError
from reunite.files import remove_leftovers, replacing
from reunite.images.tracklets import Frames, Tracklets, each_alone, group_tracklets
from reunite.model.encoder import Encoder, EncoderSpec
from reunite.train.checkpoint import Checkpoint, check_same
from reunite.train.kept import Kept
from reunite.train.parse import load_recipe
from reunite.train.recipe import Recipe
from reunite.train.rounds import Round
from reunite.types import Images

FORMAT = 2
STAGES = ("embed", "cluster", "train")
"""What the time of a round is spent on; scores.jsonl has parts of these as well, and what a test took."""

MUST_AGREE = ("format", "recipe", "seed", "data")
"""What a run can only be resumed with unchanged."""


@dataclass(frozen=True)
class Run:
    """A run folder. Make one with `Run.create`, open one with `Run.open`.

    Attributes:
        folder: where it is.
        about: the content of run.json.
    """

    folder: Path
    about: dict[str, Any]

    @classmethod
    def create(cls, folder: str | Path, recipe: Recipe, *, seed: int, data: str, facts: dict[str, Any]) -> Run:
        """A new run folder, or the one that is there if it was made with the same recipe, seed and data.

        Args:
            folder: made if it does not exist.
            recipe: what is run.
            seed: of its random numbers.
            data: fingerprint of the training images.
            facts: anything else worth keeping: path of the data, command, versions.

        Raises:
            RunError: the folder holds something else, or a run that differs (the difference is shown).
        """
        path = Path(folder)
        about = {
            "format": FORMAT,
            "recipe": repr(recipe),
            "encoder": dataclasses.asdict(recipe.encoder),
            "tracklets": recipe.tracklets and dataclasses.asdict(recipe.tracklets),
            "seed": seed,
            "data": data,
            **facts,
        }
        if (path / "run.json").is_file():
            run = cls.open(path)
            check_same(f"{str(path)!r}", run.about, {key: about[key] for key in MUST_AGREE})
            remove_leftovers(path)
            return run
        if path.exists() and (not path.is_dir() or any(path.iterdir())):
            raise RunError(f"{str(path)!r} exists and is not a run folder. Choose another --out, or empty it.")
        write_json(path / "run.json", about)
        return cls(path, about)

    @classmethod
    def open(cls, folder: str | Path) -> Run:
        """An existing run folder.

        Raises:
            RunError: no run.json there, or it cannot be read.
        """
        path = Path(folder)
        try:
            about = json.loads((path / "run.json").read_text("utf-8"))
        except FileNotFoundError as error:
            raise RunError(
                f"{str(path)!r} is not a run folder: it has no run.json. `reunite train` makes one."
            ) from error
        except (OSError, ValueError) as error:
            raise RunError(f"{str(path / 'run.json')!r} cannot be read ({error}).") from error
        if about.get("format") != FORMAT:
            raise RunError(f"{str(path)!r} has format {about.get('format')}; this version reads {FORMAT}.")
        return cls(path, about)

    def keep(self, checkpoint: Checkpoint) -> None:
        """Keeps the middle of a round.

        Raises:
            RunError: there is no room on the disk.
        """
        self._kept.save(checkpoint)

    def save(self, round_: Round, scores: dict[str, Any]) -> dict[str, Any]:
        """Keeps a finished round. A stop at any moment leaves either this round or what was kept before, whole.

        Args:
            round_: what `train` yielded.
            scores: joined to the round's own numbers in scores.jsonl.

        Returns:
            The round's line in scores.jsonl.

        Raises:
            RunError: there is no room on the disk.
        """
        history = [line for line in self._lines() if line["round"] < round_.number]
        history.append({**summary(round_), **scores})
        labels = self.folder / "labels" / f"{round_.number:03d}.npy"
        with self._kept.room(f"the labels and scores of round {round_.number}"):
            if round_.number == 0:
                write_json(self.folder / "images.json", round_.images.paths.tolist())
            with replacing(labels) as temporary, open(temporary, "wb") as file:
                np.save(file, round_.labels)
            with replacing(self.folder / "scores.jsonl") as temporary:
                temporary.write_text("".join(json.dumps(line) + "\n" for line in history), "utf-8")
        self._kept.save(round_.checkpoint())
        return history[-1]

    def checkpoint(self, damaged: Callable[[str], None] | None = None) -> Checkpoint | None:
        """The state to go on from, of the last finished round or later; None at the beginning. `damaged` as in `Kept`."""
        return self._kept.newest(self._kept.paths(), damaged)

    def history(self) -> list[dict[str, Any]]:
        """A dictionary per finished round, oldest first."""
        finished = self._kept.finished()
        return [line for line in self._lines() if line["round"] <= int(finished[-1].stem)] if finished else []

    def labels(self, number: int) -> np.ndarray:
        """The clusters of a round."""
        return np.load(self.folder / "labels" / f"{number:03d}.npy")

    def encoder(self) -> Encoder:
        """The encoder after the last finished round; scores on a test never choose it.

        Raises:
            RunError: no round has been finished yet, or the checkpoint does not fit.
        """
        checkpoint = self._kept.newest(self._kept.finished())
        if checkpoint is None:
            raise RunError(f"{str(self.folder)!r} has no finished round yet; run `reunite train` again to go on.")
        encoder = dataclasses.replace(self.spec, pretrained=False, weights=None).build()
        try:
            checkpoint.restore_encoder(encoder)
        except RuntimeError as error:
            raise RunError(f"The checkpoint in {str(self.folder)!r} does not fit its run.json ({error}).") from error
        return encoder.eval()

    def recipe(self, trust: Sequence[str] = ()) -> Recipe:
        """The recipe that was run, read from its text; `trust` as in `load_recipe`."""
        return load_recipe(self.about["recipe"], trust)

    @property
    def newest(self) -> Path | None:
        """The file of the last checkpoint."""
        return next(reversed(self._kept.paths()), None)

    @property
    def mark(self) -> str:
        """Tells the encoder after one round from that after another."""
        about = self._kept.finished()[-1].stat()
        return f"{about.st_size:x}{about.st_mtime_ns:x}"

    @property
    def spec(self) -> EncoderSpec:
        """The encoder as a value."""
        return EncoderSpec(**{name: _tuple(value) for name, value in self.about["encoder"].items()})

    @property
    def tracklets(self) -> Frames | None:
        """How the recipe looks at tracklets; None where it trains on images."""
        kept = self.about.get("tracklets")
        return Frames(**kept) if kept else None

    @property
    def _kept(self) -> Kept:
        return Kept(self.folder / "checkpoints")

    def _lines(self) -> list[dict[str, Any]]:
        path = self.folder / "scores.jsonl"
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()] if path.is_file() else []


def summary(round_: Round) -> dict[str, Any]:
    """A round's own numbers, without scores."""
    clusters = round_.clusters
    return {
        "round": round_.number,
        "loss": round(round_.loss, 6),
        "clusters": clusters.count,
        "noise": clusters.noise,
        "images": len(round_.images),
        "broken": len(round_.broken),
        "learning_rate": round_.learning_rate,
        "images_per_second": round(round_.images_per_second, 1),
        **{f"peak_{name}": value for name, value in round_.memory.items()},
        **{f"seconds_{stage}": value for stage, value in round_.seconds.items()},
    }


def seconds_of(line: dict[str, Any]) -> float:
    """What a round took without its test, of its line in scores.jsonl."""
    return float(sum(line.get(f"seconds_{stage}", 0.0) for stage in STAGES))


def training_units(run: Run, images: Images) -> Tracklets:
    """Those of `images` that the run trained on, in its order: the images, or the tracklets.

    Raises:
        RunError: some are not among them.
    """
    try:
        names = json.loads((run.folder / "images.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise RunError(f"{str(run.folder)!r} does not say which images it trained on ({error}).") from error
    place = {path: row for row, path in enumerate(images.paths.tolist())}
    if any(name not in place for name in names):
        raise RunError("The training images of the run are not those of the data given (moved, or another data set?).")
    rows = np.array([place[name] for name in names], dtype=np.int64)
    if run.tracklets is None:
        return each_alone(images.take(rows))
    units = group_tracklets(images)
    number = np.empty(len(images), np.int64)
    number[units.rows] = units.owners
    return units.take(number[rows])


def write_json(path: Path, content: Any) -> None:
    """Writes a JSON file, under a temporary name first."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n", "utf-8")


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
