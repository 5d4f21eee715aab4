"""`reunite identify` of images: from their embeddings to tables, contact sheets and the page."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from reunite import __version__
from reunite.cli.constraint_file import SaidPairs, gather_constraints, write_constraints
from reunite.cli.display import console, counting, errors
from reunite.cli.folder_embeddings import FolderEmbeddings
from reunite.cli.folder_report import folder_story
from reunite.cli.image_names import ImageNames
from reunite.cli.image_tables import ImageIdentities, write_image_tables
from reunite.cli.previous_result import RADIUS, PreviousResult, read_previous
from reunite.cli.space_file import Sample, write_space
from reunite.errors import InputError
from reunite.evaluate.clustering import clustering_scores
from reunite.evaluate.contact_sheets import write_contact_sheets
from reunite.evaluate.folder_page import write_folder_pages
from reunite.evaluate.folder_story import folder_result
from reunite.identities.attach import attached
from reunite.identities.calibration import Calibration, calibrate
from reunite.identities.constraints import Constraints
from reunite.identities.identify import identify
from reunite.identities.numbering import Numbering, keep_numbers
from reunite.identities.result import Identities
from reunite.identities.whitening import Space
from reunite.images.splits import counted
from reunite.train.run import write_json
from reunite.types import NOISE, ClusterScores, Images

GROWN = 1.5
"""Times as many images, or as few, as the radius was chosen for, beyond which it is chosen anew."""


@dataclass(frozen=True)
class ImageOptions:
    """What the command line says, as `reunite identify --help` explains it."""

    eps: float | None
    k1: int | None
    min_images: int
    attach: float | None
    constraints: Path | None
    previous: Path | None
    overlap: bool
    center: bool
    seed: int

    def check(self) -> None:
        """Before hours of embedding: what can be said without any image.

        Raises:
            InputError: a number out of range, a file or folder that is not there, or options that do nothing together.
        """
        if self.eps is not None and not 0 < self.eps < 1:
            raise InputError(f"--eps is a mean Jaccard distance, between 0 and 1; got {self.eps:g}.")
        if self.k1 is not None and self.k1 < 2:
            raise InputError(f"--k1 counts the image itself and must be at least 2; got {self.k1}.")
        if self.attach is not None and not 0 < self.attach <= 1:
            raise InputError(f"--attach is a probability, above 0 and at most 1; got {self.attach:g}.")
        if self.attach is not None and self.min_images < 2:
            raise InputError(
                "--attach is for noise, and there is none without --min-images. Pass --min-images 2, for example."
            )
        if self.constraints is not None and not self.constraints.is_file():
            raise InputError(
                f"--constraints {self.constraints} is not there. Pass a table of pairs, see docs/identify.md."
            )
        tables = ("identities.parquet", "identities.csv")
        if self.previous is not None and not any((self.previous / name).is_file() for name in tables):
            raise InputError(f"--previous {self.previous} is no result: it has neither {' nor '.join(tables)}.")


def identify_images(
    data: Path,
    embedded: FolderEmbeddings,
    camera_names: tuple[str, ...],
    out: Path,
    options: ImageOptions,
    facts: dict[str, str],
) -> None:
    """Who is who among the images, written to `out`; `facts` are about the encoder."""
    out.mkdir(parents=True, exist_ok=True)
    pictures = embedded.images
    for broken in embedded.unreadable[:10]:
        errors.print(f"left out, cannot be read: {broken.path} ({broken.reason})", markup=False)
    if len(embedded.left_out) > 10:
        errors.print(f"and {len(embedded.left_out) - 10:,} more; identities.csv lists them")
    names = ImageNames.of(pictures.paths.tolist(), data)
    before = options.previous or (out if (out / "identities.parquet").is_file() else None)
    earlier = None if before is None else read_previous(before, names)
    if earlier is not None:
        console.print(earlier.line(), soft_wrap=True, markup=False)
    said = gather_constraints(options.constraints, _kept_pairs(before, out), names)
    pairs = Constraints.of(said.pairs, len(pictures), names=names.names, sources=said.sources)
    radius = _radius(options, earlier, embedded.embeddings)
    started = time.perf_counter()
    with console.status(f"finding individuals among {len(pictures):,} images"):
        found = identify(
            embedded.embeddings,
            pictures.camera,
            pictures.time if options.overlap else None,
            pairs,
            radius.eps,
            k1=radius.k1,
            min_cluster_size=options.min_images,
            center=options.center,
            previous=None if earlier is None else earlier.identity,
            space=radius.space,
            seed=options.seed,
        )
        calibration = _calibrated(embedded.embeddings, found.labels, options.seed)
        if options.attach is not None:
            found = attached(found, embedded.embeddings, options.attach, pairs, seed=options.seed)
    seconds = time.perf_counter() - started
    numbering = _numbered(found, earlier)
    found = _renamed(found, numbering)
    scores = _scores(found, pictures)
    write_image_tables(embedded, _columns(found), out, root=data, camera_names=camera_names)
    if said.said:
        write_constraints(out / "constraints.csv", said.said)
    write_space(found.space, Sample.of(names.names, embedded.embeddings), out)
    write_json(
        out / "summary.json",
        {
            **_summary(found, embedded, numbering, said, scores),
            "data": str(data.resolve()),
            **facts,
            "seconds": round(seconds, 2),
            "seed": options.seed,
            RADIUS: {
                "eps": found.eps,
                "k1": found.evidence.k1,
                "images": radius.images,
            }
            if found.evidence.k1
            else None,
            "version": __version__,
        },
    )
    if calibration is not None:
        write_json(out / "calibration.json", calibration.to_json())
    story = folder_story(
        title=f"identities in {data.resolve().stem}",
        facts={
            "data": str(data.resolve()),
            **facts,
            "radius": found.evidence.chosen,
            "seed": str(options.seed),
            "version": f"reunite {__version__}",
        },
        embedded=embedded,
        camera_names=camera_names,
        found=found,
        numbering=numbering if before is not None else None,
        said=said,
        scores=scores,
        calibration=calibration,
    )
    with counting("sheets") as progress:
        sheets = write_contact_sheets(story, out / "groups", progress=progress)
    with console.status("drawing the page"):
        write_folder_pages(story, out, seed=options.seed, sheets=sheets)
    console.print(folder_result(story))
    console.print(found.evidence.chosen, soft_wrap=True)
    for line in _told(said, numbering if before is not None else None, scores):
        console.print(line, soft_wrap=True, markup=False)
    console.print(
        f"open {out / 'report.html'}; beside it are identities.csv and .parquet, summary.json and groups",
        soft_wrap=True,
    )


@dataclass(frozen=True)
class Radius:
    """What is not chosen anew, and how many images it was chosen for."""

    eps: float | None
    k1: int | None
    space: Space | None
    images: int


def _radius(options: ImageOptions, earlier: PreviousResult | None, embeddings: np.ndarray) -> Radius:
    """Chosen anew for a new folder, for another encoder, and for a folder that has grown by half. A radius and a space that
    move with every few images would unite and part individuals of whom nobody has seen anything new.
    """
    kept, images = None if earlier is None else earlier.radius, len(embeddings)
    if (
        kept is None
        or options.eps not in (None, kept.eps)
        or options.k1 not in (None, kept.k1)
        or not kept.of_encoder(embeddings)
        or not kept.images <= images * GROWN <= kept.images * GROWN**2
    ):
        return Radius(options.eps, options.k1, None, images)
    console.print(
        f"the radius stays {kept.eps:g} (k1 {kept.k1}), as chosen for {kept.images:,} images; it is chosen anew for half as "
        "many more",
        soft_wrap=True,
    )
    return Radius(kept.eps, kept.k1, kept.space, kept.images)


def _kept_pairs(before: Path | None, out: Path) -> Path | None:
    """The pairs of the earlier result. Those of another one in `out` would be written over."""
    there = out / "constraints.csv"
    if before is not None and there.is_file() and before.resolve() != out.resolve():
        raise InputError(
            f"{there} holds pairs that would be lost. Pass it as --constraints, from another place, or remove it."
        )
    return there if before is None else before / "constraints.csv"


def _calibrated(embeddings: np.ndarray, labels: np.ndarray, seed: int) -> Calibration | None:
    """From the groups that were found; None where there is no pair of the same, or none of different, individuals."""
    try:
        return calibrate(embeddings, labels, seed=seed)
    except InputError:
        return None


def _numbered(found: Identities, earlier: PreviousResult | None) -> Numbering:
    if earlier is None:
        return keep_numbers(found.labels, np.full(len(found.labels), NOISE))
    return keep_numbers(found.labels, earlier.identity, numbers=earlier.numbers, largest=earlier.largest)


def _renamed(found: Identities, numbering: Numbering) -> Identities:
    number = np.full(int(found.labels.max(initial=NOISE)) + 2, NOISE)  # the last one is that of NOISE
    number[found.labels] = numbering.labels
    number[NOISE] = NOISE
    return replace(found, labels=numbering.labels, second_best=number[found.second_best])


def _columns(found: Identities) -> ImageIdentities:
    return ImageIdentities(found.labels, found.confidence, found.second_best, found.margin)


def _scores(found: Identities, pictures: Images) -> ClusterScores | None:
    """Against the identities that came with the images, where these say anything."""
    known = pictures.identity[pictures.identity >= 0]
    return clustering_scores(found.labels, pictures.identity) if len(np.unique(known)) > 1 else None


def _summary(
    found: Identities,
    embedded: FolderEmbeddings,
    numbering: Numbering,
    said: SaidPairs,
    scores: ClusterScores | None,
) -> dict[str, Any]:
    sizes = np.unique(found.labels[found.labels != NOISE], return_counts=True)[1]
    return {
        "images": len(found.labels),
        "identities": len(sizes),
        "of_one_image": int((sizes == 1).sum()),
        "noise": int((found.labels == NOISE).sum()),
        "unreadable": len(embedded.left_out),
        "eps": found.eps,
        "evidence": found.evidence.facts(),
        "constraints": {
            "same": int(sum(each.same for each in said.said)),
            "different": int(sum(not each.same for each in said.said)),
            "of_images_not_there": said.absent,
            "overruled": len(said.overruled),
        },
        "scores": None if scores is None else {name: getattr(scores, name) for name in scores.__dataclass_fields__},
        **numbering.summary(),
    }


def _told(said: SaidPairs, numbering: Numbering | None, scores: ClusterScores | None) -> list[str]:
    lines = []
    if said.said:
        lines.append(f"{counted(len(said.said) - said.absent, 'pair')} that you decided: all hold")
    if said.overruled:
        lines.append(f"{len(said.overruled):,} pairs kept from before were overruled by what you say now")
    if said.absent:
        lines.append(f"{said.absent:,} pairs name images that are not there now; they are kept")
    if numbering is not None:
        lines += numbering.lines()
    if scores is not None:
        lines.append(
            f"against the identities that came with the images: ARI {scores.ari:.3f}, pairwise F {scores.pairwise_f:.3f}, "
            f"B-cubed F {scores.bcubed_f:.3f}, purity {scores.purity:.3f}, {scores.splits:,} split, {scores.merges:,} merged"
        )
    return lines
