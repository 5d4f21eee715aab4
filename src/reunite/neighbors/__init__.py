"""Room 3: who is near whom."""

from reunite.neighbors.approximate import ApproximateNeighbors, approximate_neighbors
from reunite.neighbors.jaccard import jaccard_graph
from reunite.neighbors.knn import nearest_neighbors
from reunite.neighbors.rerank import rerank

__all__ = ["ApproximateNeighbors", "approximate_neighbors", "jaccard_graph", "nearest_neighbors", "rerank"]
