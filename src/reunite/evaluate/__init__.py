"""Room 8: was it right?"""

from reunite.evaluate.clustering import clustering_scores
from reunite.evaluate.retrieval import retrieval_scores

__all__ = ["clustering_scores", "retrieval_scores"]
