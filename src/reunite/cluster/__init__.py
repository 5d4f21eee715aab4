"""Room 4: who belongs together. All are scikit-learn clusterers."""

from reunite.cluster.bottom_up import BottomUp
from reunite.cluster.criteria import Dispersion, MinimumDistance
from reunite.cluster.density import JaccardDBSCAN
from reunite.cluster.flow import InfomapClustering
from reunite.cluster.hierarchy import AverageLinkage
from reunite.cluster.known import KnownIdentities

__all__ = [
    "AverageLinkage",
    "BottomUp",
    "Dispersion",
    "InfomapClustering",
    "JaccardDBSCAN",
    "KnownIdentities",
    "MinimumDistance",
]
