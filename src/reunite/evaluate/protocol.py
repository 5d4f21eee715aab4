"""A data set's own test, from an encoder to scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from reunite.errors import InputError
from reunite.evaluate.retrieval import retrieval_scores
from reunite.images.tracklets import Tracklets, each_alone, group_tracklets
from reunite.types import UNKNOWN, Dataset, Images, Scores


@dataclass(frozen=True, eq=False)
class RetrievalTest:
    """The images or tracklets a data set is tested with, each once, and where query and gallery are among them.

    Attributes:
        units: every test image or tracklet once.
        query, gallery: their numbers in `units`.
        exclude: for each query the place in the gallery of the very same image or tracklet, -1 for none.
    """

    units: Tracklets
    query: Int64[np.ndarray, " q"]
    gallery: Int64[np.ndarray, " g"]
    exclude: Int64[np.ndarray, " q"]

    @property
    def images(self) -> Images:
        """One image for each: the image itself, or the middle frame of the tracklet."""
        return self.units.heads


def retrieval_test(
    dataset: Dataset, readable: frozenset[str] | None = None, *, tracklets: bool = False
) -> RetrievalTest:
    """The test a data set brings along; images outside `readable` (None: all are inside) are left out.

    With `tracklets` the frames of a track are one query, or one gallery entry, and everything else is the same: the
    protocol of MARS and DukeMTMC-VideoReID. Without, every frame stands for itself.

    Raises:
        InputError: the data set has no query or no gallery, or frames of one tracklet have different identities.
    """
    query, gallery = (
        part if readable is None else part.take(np.array([path in readable for path in part.paths], dtype=bool))
        for part in (dataset.query, dataset.gallery)
    )
    if not len(query) or not len(gallery):
        raise InputError(
            f"{dataset.name} has {len(query)} query and {len(gallery)} gallery images, so there is nothing to test with. "
            "Scores need identities: identity folders, a table with an identity column, or a public layout."
        )
    paths, first = np.unique(np.concatenate([query.paths, gallery.paths]), return_index=True)
    both = Images(
        *(np.concatenate([getattr(query, name), getattr(gallery, name)]) for name in Images.__dataclass_fields__)
    )
    images = both.take(first)
    asked, searched = (np.searchsorted(paths, part.paths) for part in (query, gallery))
    side = np.zeros(len(images), np.int64)
    side[asked] += 1
    side[searched] += 2
    units = group_tracklets(images, side) if tracklets else each_alone(images)
    number = np.empty(len(images), np.int64)
    number[units.rows] = units.owners
    asked, searched = _each_once(number[asked]), _each_once(number[searched])
    place = np.full(len(units), -1, np.int64)
    place[searched] = np.arange(len(searched))
    return RetrievalTest(units, asked, searched, place[asked])


def _each_once(numbers: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, " u"]:
    """Every number once, in the order of first appearance."""
    return numbers[np.sort(np.unique(numbers, return_index=True)[1])]


def score_test(test: RetrievalTest, embeddings: Float32[np.ndarray, "n d"]) -> Scores:
    """Retrieval scores of embeddings of `test.units`, row by row.

    A query never meets itself, nor images of its identity from its own camera where cameras are known.

    Raises:
        InputError: no query has a match left (see `retrieval_scores`).
    """
    images, query, gallery = test.images, test.query, test.gallery
    known = bool((images.camera != UNKNOWN).any())
    return retrieval_scores(
        embeddings[query],
        embeddings[gallery],
        images.identity[query],
        images.identity[gallery],
        images.camera[query] if known else None,
        images.camera[gallery] if known else None,
        exclude=test.exclude,
    )
