"""Room 8: was it right?"""

from reunite.evaluate.clustering import clustering_scores
from reunite.evaluate.retrieval import retrieval_scores
from reunite.evaluate.tracking import identity_f1

__all__ = ["clustering_scores", "identity_f1", "retrieval_scores"]
