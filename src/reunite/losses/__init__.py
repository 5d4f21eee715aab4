"""Room 5: (embeddings, labels) to a scalar."""

from reunite.losses.cluster import ClusterLoss
from reunite.losses.identity import IdentityLoss
from reunite.losses.instance_memory import InstanceMemory
from reunite.losses.memory import ClusterMemory
from reunite.losses.repelled import RepelledTable
from reunite.losses.support_neighbor import SupportNeighborLoss
from reunite.losses.triplet import BatchHardTripletLoss
from reunite.losses.weighted_sum import WeightedSum

__all__ = [
    "BatchHardTripletLoss",
    "ClusterLoss",
    "ClusterMemory",
    "IdentityLoss",
    "InstanceMemory",
    "RepelledTable",
    "SupportNeighborLoss",
    "WeightedSum",
]
