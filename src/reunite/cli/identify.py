"""`reunite identify`: from images without labels, or a tracker's output, to individuals."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from reunite import images
from reunite.cli.adapt import adapt as adapted
from reunite.cli.display import console, counting
from reunite.cli.embed import every_image
from reunite.cli.embedding_table import is_embeddings, read_embeddings
from reunite.cli.encoders import GENERAL, NamedEncoder, crop_shape, encoder_of
from reunite.cli.folder_embeddings import embed_folder
from reunite.cli.identify_images import ImageOptions, identify_images
from reunite.cli.identify_tracks import identify_tracks_of, is_tracker_output
from reunite.cli.options import Device, HowPrecise, OnBox, Rate, Seed, accelerator_of, on_error_of
from reunite.errors import InputError
from reunite.model.inference import Precision


def identify(
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder of images, a table, what `reunite embed` wrote, or a tracker's output with its footage.",
            show_default=False,
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for the result.", show_default=False)],
    encoder: Annotated[
        str | None, typer.Option(help="A run folder, or a backbone by name; DINOv2 small when left out.")
    ] = None,
    run: Annotated[
        Path | None, typer.Option(help="The run folder whose encoder embeds; the same as --encoder RUN.")
    ] = None,
    weights: Annotated[Path | None, typer.Option(help="A local file of weights for the backbone.")] = None,
    adapt: Annotated[
        int, typer.Option(help="Rounds in which the encoder is adapted to these images, without labels.", min=0)
    ] = 0,
    adapt_recipe: Annotated[str, typer.Option(help="How; any recipe that needs no labels.")] = "cluster-contrast",
    eps: Annotated[
        float | None,
        typer.Option(
            help="Mean Jaccard distance up to which images are one individual (tracks: cosine); chosen if left out."
        ),
    ] = None,
    k1: Annotated[
        int | None,
        typer.Option(
            help="Images near an image that count; if individuals fall apart, as many as each has; else chosen."
        ),
    ] = None,
    min_images: Annotated[int, typer.Option(help="Smaller groups are noise, identity -1.", min=1)] = 1,
    attach: Annotated[
        float | None, typer.Option(help="Noise joins its nearest identity where it is this probable, 0 to 1.")
    ] = None,
    constraints: Annotated[
        Path | None, typer.Option(help="A table of pairs of images that show the same, or different, individuals.")
    ] = None,
    previous: Annotated[
        Path | None, typer.Option(help="An earlier result, whose numbers and pairs stay; that in --out when left out.")
    ] = None,
    overlap: Annotated[
        bool | None,
        typer.Option(
            "--overlap/--no-overlap",
            help="What one camera sees at the same moment are different individuals; on for a tracker's output.",
        ),
    ] = None,
    center: Annotated[
        bool, typer.Option(help="Subtract each camera's mean; not for cameras that see different individuals.")
    ] = True,
    rate: Rate = None,
    device: Device = None,
    precision: HowPrecise = "auto",
    seed: Seed = 0,
    on_error: OnBox = "raise",
) -> None:
    """Say who is who: tables, contact sheets, and a page to look at. No labels, cameras or thresholds are needed."""
    if run is not None and encoder is not None:
        raise InputError("--run and --encoder both name an encoder; leave one of them out.")
    _check_out(data, out)
    named = str(run) if run is not None else encoder or GENERAL
    options = ImageOptions(eps, k1, min_images, attach, constraints, previous, bool(overlap), center, seed)
    if is_embeddings(data):
        options.check()
        _unused(
            {"--encoder": encoder, "--run": run, "--weights": weights, "--adapt": adapt}, "embeddings are there already"
        )
        identify_images(data, *read_embeddings(data), out, options, {})
        return
    dataset = None if is_tracker_output(data) else images.read(data)
    pictures = None if dataset is None else every_image(dataset)[0]
    if dataset is None or pictures is None or (len(pictures) and (pictures.track >= 0).all()):
        only = {"--k1": k1, "--constraints": constraints, "--previous": previous, "--adapt": adapt, "--attach": attach}
        _unused({**only, "--min-images": min_images > 1}, "these are tracks, not images")
        chosen = _announced(encoder_of(named, weights=weights))
        chosen.encoder.to(accelerator_of(device).device)
        skip = on_error_of(on_error)
        identify_tracks_of(data, chosen, out, eps=eps, overlap=overlap, center=center, rate=rate, skip=skip)
        return
    options.check()
    chosen = _announced(encoder_of(named, weights=weights, shape=crop_shape(pictures)))
    accelerator = accelerator_of(device)
    if adapt:
        method = adapt_recipe
        chosen = adapted(chosen, pictures, out, rounds=adapt, recipe=method, seed=seed, accelerator=accelerator)
    chosen.encoder.to(accelerator.device)
    with counting("embedding") as progress:
        embedded = embed_folder(
            chosen, pictures, out, root=data, precision=cast(Precision, precision), progress=progress
        )
    facts = {"encoder": chosen.name, "licence": chosen.licence}
    identify_images(data, embedded, dataset.camera_names, out, options, facts)


def _announced(encoder: NamedEncoder) -> NamedEncoder:
    console.print(f"encoder: {encoder.name}; {encoder.licence}", markup=False, soft_wrap=True)
    return encoder


def _unused(given: dict[str, object], why: str) -> None:
    """What would be ignored is refused."""
    names = [name for name, value in given.items() if value]
    if names:
        raise InputError(
            f"{', '.join(names)} would do nothing: {why}. Leave {'it' if len(names) == 1 else 'them'} out."
        )


def _check_out(data: Path, out: Path) -> None:
    """The pictures of a result would be images of the folder in the next call."""
    folder = data if data.is_dir() else data.parent
    inside = data.is_dir() and out.resolve().is_relative_to(folder.resolve())
    if inside:
        raise InputError(
            f"--out {out} lies in {data}, so the next call would take its pictures for yours. Put it elsewhere."
        )
