"""A data set's own test, from an encoder to scores."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

from reunite.errors import InputError
from reunite.evaluate.retrieval import retrieval_scores
from reunite.types import UNKNOWN, Dataset, Images, Scores


@dataclass(frozen=True, eq=False)
class RetrievalTest:
    """The images a data set is tested with, each once, and where query and gallery are among them.

    Attributes:
        images: every test image once.
        query, gallery: rows of `images`.
        exclude: for each query the place in the gallery of the very same image, -1 for none.
    """

    images: Images
    query: Int64[np.ndarray, " q"]
    gallery: Int64[np.ndarray, " g"]
    exclude: Int64[np.ndarray, " q"]


def retrieval_test(dataset: Dataset, readable: frozenset[str] | None = None) -> RetrievalTest:
    """The test a data set brings along; images outside `readable` (None: all are inside) are left out.

    Raises:
        InputError: the data set has no query or no gallery.
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
    place = dict(zip(gallery.paths.tolist(), range(len(gallery)), strict=True))
    exclude = np.array([place.get(path, -1) for path in query.paths.tolist()], dtype=np.int64)
    return RetrievalTest(
        both.take(first), np.searchsorted(paths, query.paths), np.searchsorted(paths, gallery.paths), exclude
    )


def score_test(test: RetrievalTest, embeddings: Float32[np.ndarray, "n d"]) -> Scores:
    """Retrieval scores of embeddings of `test.images`, row by row.

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
