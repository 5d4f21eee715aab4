"""Which clusters are closest: the criteria of BUC and DBC, for `BottomUp`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal, Protocol, get_args

import numpy as np
from jaxtyping import Float, Float64

from reunite.cluster.blocks import BLOCK_SIZE, ClusterBlocks, Metric, Tile, check_metric
from reunite.cluster.closest_pairs import Pairs, closest_pairs
from reunite.cluster.cluster_means import ClusterMeans
from reunite.cluster.merging import MergeRule
from reunite.cluster.near_pairs import near_pairs
from reunite.errors import InputError
from reunite.types import Clusters, unit_rows

IntraNorm = Literal["n2", "n", "n(n-1)"]


class Criterion(Protocol):
    """What `BottomUp` asks of a criterion. Make it a frozen dataclass, and it can be printed and set in a recipe."""

    published_rule: ClassVar[MergeRule]
    """How the program that the criterion comes from merges its pairs; "union" is a good choice for a new one."""

    def closest_pairs(self, rows: Float[np.ndarray, "n d"], clusters: Clusters, want: int) -> Pairs:
        """The `want` closest pairs of clusters, or all pairs where there are fewer.

        `reunite.cluster.closest_pairs.closest_pairs` makes them from tiles of values.

        Args:
            rows: (n, d), float32 as `fit` got them. Their lengths are not to matter: `reunite.types.unit_rows`.
            clusters: the partition to merge, without noise.
            want: pairs wanted, at least 1.
        """
        ...


@dataclass(frozen=True)
class MinimumDistance:
    """The distance of the two nearest members, plus a penalty on size: the criterion of BUC (Lin et al. 2019).

    D(A, B) = min d(a, b) + size_penalty * (|A| + |B|). The penalty lets small clusters merge first.

    Args:
        size_penalty: weight of the sizes; 0 is single linkage. The authors' parser says 0.005, and their script after
            the bug fix 0.003, the default here.
        metric: distance of two unit rows. "sqeuclidean" is what the authors' code computes, "euclidean" what the paper
            says; the order of the distances is the same, but not their trade-off with the penalty. All "euclidean" ones
            are computed in float64, several times as slow.

    Raises:
        InputError: a negative penalty, or another metric.
    """

    size_penalty: float = 0.003
    metric: Metric = "sqeuclidean"

    published_rule: ClassVar[MergeRule] = "union"

    def __post_init__(self) -> None:
        check_metric(self.metric)
        if not 0 <= self.size_penalty < np.inf:
            raise InputError(f"size_penalty weighs cluster sizes and must be 0 or more; got {self.size_penalty}.")

    def closest_pairs(self, rows: Float[np.ndarray, "n d"], clusters: Clusters, want: int) -> Pairs:
        """The `want` closest pairs; see `Criterion`. O(n^2 d) time."""
        penalty = self.size_penalty * clusters.sizes
        if self.metric == "sqeuclidean":
            means = ClusterMeans(rows, _alone(len(rows)))
            found = near_pairs(means, means.squares + penalty[clusters.labels], clusters, want)
            if found is not None:
                return found
        rows = unit_rows(rows.astype(np.float64))
        tiles = ClusterBlocks(rows, clusters).tiles(self.metric, np.minimum)
        return closest_pairs((tile.add(penalty) for tile in tiles), clusters.count, want)


@dataclass(frozen=True)
class Dispersion:
    """Average linkage, plus a penalty on clusters that are spread out: the criterion of DBC (BMVC 2019).

    D(A, B) = mean d(a, b) + weight * (d_A + d_B), where the dispersion d_A sums d over all pairs of members of A, in
    both orders, divided as `intra_norm` says. Isolated rows have none and merge first; loose clusters wait.

    The authors' released program computes this and then ranks by the mean alone, so it runs `weight=0.0` (their
    "DBC-") whatever its options say; ours applies the penalty.

    Args:
        weight: of the dispersions, 0.1 in the authors' script (their parser says 0.005); 0.0 is DBC-.
        metric: distance of two unit rows. "sqeuclidean", the authors', has a closed form in the means of the clusters:
            O(c^2 d) time for c clusters. "euclidean" takes O(n^2 d), in float64.
        intra_norm: what the sum over a cluster of n members is divided by. "n2" is what the authors' code does and is
            on the scale of the mean; "n" is what their poster says, and grows with the cluster; "n(n-1)" leaves the
            zeros between a row and itself out of the mean.

    Raises:
        InputError: a negative weight, or another metric or norm.
    """

    weight: float = 0.1
    metric: Metric = "sqeuclidean"
    intra_norm: IntraNorm = "n2"

    published_rule: ClassVar[MergeRule] = "skip_absorbed"

    def __post_init__(self) -> None:
        check_metric(self.metric)
        if not 0 <= self.weight < np.inf:
            raise InputError(f"weight multiplies the dispersions and must be 0 or more; got {self.weight}.")
        if self.intra_norm not in get_args(IntraNorm):
            raise InputError(f"intra_norm must be one of {', '.join(get_args(IntraNorm))}; got {self.intra_norm!r}.")

    def closest_pairs(self, rows: Float[np.ndarray, "n d"], clusters: Clusters, want: int) -> Pairs:
        """The `want` closest pairs; see `Criterion`."""
        if self.metric == "sqeuclidean":
            return self._from_means(rows, clusters, want)
        return closest_pairs(self._from_pairs(rows, clusters), clusters.count, want)

    def _from_means(self, rows: Float[np.ndarray, "n d"], clusters: Clusters, want: int) -> Pairs:
        means, sizes = ClusterMeans(rows, clusters), clusters.sizes
        square = means.member_squares
        mean_within = np.maximum(2 * (square - means.squares), 0)
        per_cluster = square + self.weight * self._dispersion(mean_within * sizes**2, sizes)
        found = near_pairs(means, per_cluster, _alone(clusters.count), want)
        if found is not None:
            return found
        return closest_pairs(_tiles(means.exact(), per_cluster), clusters.count, want)

    def _from_pairs(self, rows: Float[np.ndarray, "n d"], clusters: Clusters) -> Iterator[Tile]:
        blocks = ClusterBlocks(unit_rows(rows.astype(np.float64)), clusters)
        sizes = clusters.sizes
        penalty = self.weight * self._dispersion(blocks.within(self.metric), sizes)
        for sums in blocks.tiles(self.metric, np.add):
            means = sums.values / np.outer(sizes[sums.rows], sizes[sums.columns])
            yield Tile(sums.first, sums.second, means).add(penalty)

    def _dispersion(
        self, sums: Float64[np.ndarray, " c"], sizes: Float64[np.ndarray, " c"]
    ) -> Float64[np.ndarray, " c"]:
        divisors = {"n2": sizes**2, "n": sizes, "n(n-1)": np.maximum(sizes * (sizes - 1), 1)}
        return sums / divisors[self.intra_norm]


def _alone(count: int) -> Clusters:
    """Each a cluster of its own."""
    return Clusters(np.arange(count), count)


def _tiles(means: Float64[np.ndarray, "c d"], added: Float64[np.ndarray, " c"]) -> Iterator[Tile]:
    """The sums of what is `added` for the two of a pair, minus twice the products of their means."""
    for first in range(0, len(means), BLOCK_SIZE):
        beside = -2 * means[first : first + BLOCK_SIZE]
        for second in range(first, len(means), BLOCK_SIZE):
            yield Tile(first, second, beside @ means[second : second + BLOCK_SIZE].T).add(added)
