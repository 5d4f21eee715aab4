"""Room 3: who is near whom."""

from reunite.neighbors.jaccard import jaccard_graph
from reunite.neighbors.knn import nearest_neighbors

__all__ = ["jaccard_graph", "nearest_neighbors"]
