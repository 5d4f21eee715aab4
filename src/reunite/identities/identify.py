"""From embeddings to individuals, without labels and without a number to guess: ten rows or a million."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float, Float32, Float64, Int64
from numpy.typing import ArrayLike
from scipy.sparse import csr_array

from reunite.cluster.sparse_linkage import FARTHEST, sparse_linkage_tree
from reunite.errors import InputError
from reunite.identities.centering import camera_means, without
from reunite.identities.choose import choose
from reunite.identities.constraints import Constraints
from reunite.identities.copies import looked_at, originals, united
from reunite.identities.going_on import regrouped
from reunite.identities.look import averaged
from reunite.identities.overlap import overlapping, span_of
from reunite.identities.result import Identities
from reunite.identities.separation import Separation, separation
from reunite.identities.whitening import Space
from reunite.neighbors.jaccard import jaccard_graph
from reunite.types import NOISE, Clusters, check_codes, check_unit_rows


def identify(
    embeddings: Float[np.ndarray, "n d"],
    camera: ArrayLike | None = None,
    time: ArrayLike | None = None,
    constraints: ArrayLike | Constraints | None = None,
    eps: float | None = None,
    *,
    k1: int | None = None,
    half_whitened: bool | None = None,
    min_cluster_size: int = 1,
    overlap: bool = True,
    center: bool = True,
    previous: ArrayLike | None = None,
    space: Space | None = None,
    seed: int = 0,
) -> Identities:
    """Group rows, such as the images of a folder, by individual; how many there are need not be known.

    The mean of each camera is subtracted (`camera_means`). Rows are near where their reciprocal neighborhoods overlap
    (`jaccard_graph`), and groups are united by average linkage on that graph (`sparse_linkage_tree`), up to a distance that is
    chosen together with the size of the neighborhoods, and with whether directions in which embeddings vary most count less
    (`choose`), on linkages of all rows or of a region of them. What varies within the groups of the one that is chosen counts
    less (`within_whitening`) in the linkage that decides. Rows that are equal are one individual. O(n k) memory besides copies
    of the embeddings.

    Fewer than six rows have no neighborhoods to compare: there groups are united by distances as between two rows
    that are alone, 1 - exp(-|x - y|^2), and a cut that is much the same as a cosine similarity of 0.4.

    Args:
        embeddings: (n, d) rows; their lengths do not matter.
        camera: (n,) the camera of each row; -1 or None is unknown.
        time: (n,) seconds, or (n, 2) seconds of the begin and the end of a track; NaN or None is unknown.
        constraints: pairs of rows that a person decided: (p, 3) rows i, j and 1 for the same individual or 0 for different
            ones; or (p, 2), all different. Every one holds in the result.
        eps: mean Jaccard distance up to which groups are united, in (0, 1); None chooses it.
        k1: neighbors of a row that count, itself included, 2 or more; None chooses it, up to 100. Without effect on very few
            rows.
        half_whitened: whether directions in which embeddings vary most count less (`half_whitening`); None chooses it. Without
            effect on very few rows.
        min_cluster_size: groups of fewer rows are nobody's, label -1, unless a person said that they belong together. With 1
            an individual seen once is an individual.
        overlap: rows that one camera saw at the same moment show different individuals. False for cameras that draw two boxes
            around one individual, that see mirrors and screens, or whose clock has a coarse tick. A pair that `constraints`
            call the same, directly or through others, may overlap.
        center: False leaves embeddings as they are, for cameras that see different individuals.
        previous: (n,) the identity of each row in an earlier result, -1 where it had none. Where it is a close call, rows stay
            together or apart as they were (`regrouped`). `keep_numbers` then gives groups their earlier numbers.
        space: that of the earlier result, to compare rows as they were compared then; None learns it from these rows. Without
            it every distance changes a little with each row that comes, and so do groups that none of the new rows is in.
        seed: of what is drawn to choose these.

    Returns:
        `confidence` is what a row has in common with the other rows of its group, the mean of 1 - Jaccard distance; groups
        are united from 1 - `eps` on. A row alone has 1 minus what it shares with the nearest group, and a row that is nobody's
        has 0. It is no probability: `calibrate` gives these. `margin` is by how much that is more than what the row shares
        with the nearest other group; a row alone has how far it is from being united. `second_best` is never a group that
        holds a row which must stay apart from this one.

    Raises:
        InputError: shapes that do not fit, rows that are not finite, `eps`, `k1` or `min_cluster_size` out of range, both
            `half_whitened` and `space`, or constraints that contradict each other (with the chain of pairs that does) or are no
            pairs of rows.
    """
    if eps is not None and not (0 < eps < 1 and math.isfinite(eps)):
        raise InputError(f"eps is a mean Jaccard distance and must be between 0 and 1; got {eps}.")
    if (k1 is not None and k1 < 2) or min_cluster_size < 1:
        raise InputError(
            f"k1 counts the row itself and must be at least 2, and min_cluster_size at least 1; got {k1} and "
            f"{min_cluster_size}."
        )
    rows = check_unit_rows(embeddings)
    count = len(rows)
    if space is not None:
        _check_space(space, rows.shape[1], half_whitened)
    cameras = check_codes(camera, count, "camera")
    said = constraints if isinstance(constraints, Constraints) else Constraints.of(constraints, count)
    if len(said.groups) != count:
        raise InputError(f"constraints must be about these {count:,} rows; got those of {len(said.groups):,}.")
    apart = said.different
    if overlap and time is not None:
        apart = np.concatenate([apart, said.without_contradicted(overlapping(cameras, *span_of(time, count)))[0]])
    apart = np.unique(np.sort(apart, axis=1), axis=0)
    first = originals(rows, said, apart)
    kept = looked_at(first)
    # Of each row, where the first one equal to it is among those that are kept; of these, their own place.
    place = np.searchsorted(kept, first)
    place[kept] = np.arange(len(kept))
    if center:
        rows = without(rows, camera_means(rows, cameras))
    same = np.concatenate([said.same, np.stack([first, np.arange(count)], axis=1)])
    rows, groups, barred = rows[kept], united(place[same], len(kept)), place[apart]
    choice = choose(rows, eps, k1, half_whitened, kept=space, seed=seed)
    evidence = choice.evidence
    if evidence.k1 is None:
        space, graph = Space(), _of_few(rows)
    else:
        space = choice.space(rows) if space is None else space
        graph = jaccard_graph(space(rows), evidence.k1, averaged(evidence.k1), FARTHEST)
    tree = sparse_linkage_tree(graph, groups, barred)
    before = check_codes(previous, count, "previous")[kept]
    linked = regrouped(graph, tree, evidence.eps, before, barred) if (before >= 0).any() else tree.cut(evidence.eps)
    labels = _without_small(linked[place], min_cluster_size, said.same)
    near = separation(graph, labels[kept], barred)
    sure, lead = _confidence(near, labels[kept], evidence.eps)
    return Identities(labels, sure[place], lead[place], near.second_best[place], evidence.eps, evidence, apart, space)


def _check_space(space: Space, dimensions: int, half_whitened: bool | None) -> None:
    if half_whitened is not None:
        raise InputError("space says whether embeddings are half-whitened; leave half_whitened out, or space.")
    if space.dimensions not in (None, dimensions):
        raise InputError(
            f"space was learned from embeddings of {space.dimensions} dimensions; these have {dimensions}. Pass that of a "
            "result of the same encoder, or leave it out."
        )


def _of_few(rows: Float32[np.ndarray, "n d"]) -> csr_array:
    """Each pair's Jaccard distance if there were no other rows, 1 - exp(-|x - y|^2)."""
    near = np.exp(np.minimum(2 * rows @ rows.T - 2, 0))
    first, second = np.nonzero(near >= 1 - FARTHEST)
    return csr_array((1 - near[first, second], (first, second)), shape=near.shape)


def _confidence(
    near: Separation, labels: Int64[np.ndarray, " n"], eps: float
) -> tuple[Float64[np.ndarray, " n"], Float64[np.ndarray, " n"]]:
    """Of each row the confidence, and the margin: for a row alone, how far it is from being united."""
    alone = np.bincount(labels[labels >= 0], minlength=1)[labels] == 1
    sure = np.where(alone, 1 - near.other, near.own)
    lead = np.where(alone, 1 - eps, near.own) - near.other
    nobody = labels == NOISE
    return np.where(nobody, 0.0, sure), np.where(nobody, 0.0, lead)


def _without_small(
    labels: Int64[np.ndarray, " n"], least: int, same: Int64[np.ndarray, "s 2"]
) -> Int64[np.ndarray, " n"]:
    """Groups of fewer rows than `least` are nobody's, except what a person put together."""
    keep = np.bincount(labels, minlength=1)[labels] >= least
    keep |= np.isin(labels, labels[same.ravel()])
    return Clusters.of(np.where(keep, labels, NOISE)).labels
