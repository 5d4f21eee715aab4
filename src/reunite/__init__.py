"""Reunite brings the images of one individual together again.

Images become embeddings, embeddings find neighbors, neighbors become clusters, clusters become labels, labels train the
model, and the trained model finds individuals again. The public names stand here in that order.
"""

from reunite import images, recipes
from reunite.cluster import JaccardDBSCAN
from reunite.errors import (
    ClusteringError,
    ImageError,
    InputError,
    ReaderError,
    ReuniteError,
    RunError,
    TrainingError,
    WeightsError,
)
from reunite.evaluate import clustering_scores, retrieval_scores
from reunite.images.synthetic import render_walkers
from reunite.losses import ClusterMemory
from reunite.model import Encoder, EncoderSpec, embed
from reunite.neighbors import jaccard_graph, nearest_neighbors
from reunite.train import Adam, IdentityBatches, Recipe, Round, train
from reunite.train.run import Run
from reunite.types import Clusters, ClusterScores, Dataset, Images, Scores

__version__ = "0.1.0"

__all__ = [
    "Adam",
    "ClusterMemory",
    "ClusterScores",
    "ClusteringError",
    "Clusters",
    "Dataset",
    "Encoder",
    "EncoderSpec",
    "IdentityBatches",
    "ImageError",
    "Images",
    "InputError",
    "JaccardDBSCAN",
    "ReaderError",
    "Recipe",
    "ReuniteError",
    "Round",
    "Run",
    "RunError",
    "Scores",
    "TrainingError",
    "WeightsError",
    "clustering_scores",
    "embed",
    "images",
    "jaccard_graph",
    "nearest_neighbors",
    "recipes",
    "render_walkers",
    "retrieval_scores",
    "train",
]
