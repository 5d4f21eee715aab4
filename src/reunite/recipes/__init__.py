"""Room 7: the methods. Each is one short function that returns a `Recipe`."""

from reunite.recipes.cluster_contrast import cluster_contrast, cluster_contrast_small

__all__ = ["cluster_contrast", "cluster_contrast_small"]
