"""Reunite brings the images of one individual together again.

Images become embeddings, embeddings find neighbors, neighbors become clusters, clusters become labels, labels train the
model, and the trained model finds individuals again. The public names stand here in that order.
"""

from reunite import images, recipes
from reunite.cluster import (
    AverageLinkage,
    BottomUp,
    Dispersion,
    InfomapClustering,
    JaccardDBSCAN,
    KnownIdentities,
    MinimumDistance,
)
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
from reunite.evaluate import clustering_scores, identity_f1, retrieval_scores
from reunite.identities import Identities, TrackIdentities, identify, identify_tracks, summarise
from reunite.images.scenes import render_scenes
from reunite.images.synthetic import render_walkers
from reunite.losses import (
    BatchHardTripletLoss,
    ClusterLoss,
    ClusterMemory,
    IdentityLoss,
    InstanceMemory,
    RepelledTable,
    SupportNeighborLoss,
    WeightedSum,
)
from reunite.model import Encoder, EncoderSpec, embed
from reunite.neighbors import jaccard_graph, nearest_neighbors, rerank
from reunite.train import SGD, Adam, IdentityBatches, Recipe, Round, ShuffledBatches, load_recipe, train
from reunite.train.run import Run
from reunite.types import Clusters, ClusterScores, Dataset, Images, Scores
from reunite.version import __version__ as __version__

__all__ = [
    "SGD",
    "Adam",
    "AverageLinkage",
    "BatchHardTripletLoss",
    "BottomUp",
    "ClusterLoss",
    "ClusterMemory",
    "ClusterScores",
    "ClusteringError",
    "Clusters",
    "Dataset",
    "Dispersion",
    "Encoder",
    "EncoderSpec",
    "Identities",
    "IdentityBatches",
    "IdentityLoss",
    "ImageError",
    "Images",
    "InfomapClustering",
    "InputError",
    "InstanceMemory",
    "JaccardDBSCAN",
    "KnownIdentities",
    "MinimumDistance",
    "ReaderError",
    "Recipe",
    "RepelledTable",
    "ReuniteError",
    "Round",
    "Run",
    "RunError",
    "Scores",
    "ShuffledBatches",
    "SupportNeighborLoss",
    "TrackIdentities",
    "TrainingError",
    "WeightedSum",
    "WeightsError",
    "clustering_scores",
    "embed",
    "identify",
    "identify_tracks",
    "identity_f1",
    "images",
    "jaccard_graph",
    "load_recipe",
    "nearest_neighbors",
    "recipes",
    "render_scenes",
    "render_walkers",
    "rerank",
    "retrieval_scores",
    "summarise",
    "train",
]
