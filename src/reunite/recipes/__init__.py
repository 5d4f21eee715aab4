"""Room 7: the methods. Each is one short function that returns a `Recipe`."""

from reunite.recipes.bottom_up import buc, buc_video, dbc, dbc_video
from reunite.recipes.cluster_contrast import (
    cluster_contrast,
    cluster_contrast_infomap,
    cluster_contrast_small,
    cluster_contrast_video,
)
from reunite.recipes.hct import hct
from reunite.recipes.strong_baseline import cluster_loss, identity, triplet
from reunite.recipes.support_neighbor import support_neighbor

__all__ = [
    "buc",
    "buc_video",
    "cluster_contrast",
    "cluster_contrast_infomap",
    "cluster_contrast_small",
    "cluster_contrast_video",
    "cluster_loss",
    "dbc",
    "dbc_video",
    "hct",
    "identity",
    "support_neighbor",
    "triplet",
]
