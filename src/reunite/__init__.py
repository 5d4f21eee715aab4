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
from reunite.evaluate.confusions import Confusions, confusions
from reunite.identities import Identities, TrackIdentities, identify, identify_tracks, summarise
from reunite.identities.calibration import Calibration, calibrate
from reunite.identities.constraints import Constraints
from reunite.identities.evidence import Evidence
from reunite.identities.matching import Matches, calibrate_matches, match
from reunite.identities.numbering import Numbering, keep_numbers
from reunite.identities.reliability import Reliability, expected_calibration_error, reliability
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
    "Calibration",
    "ClusterLoss",
    "ClusterMemory",
    "ClusterScores",
    "ClusteringError",
    "Clusters",
    "Confusions",
    "Constraints",
    "Dataset",
    "Dispersion",
    "Encoder",
    "EncoderSpec",
    "Evidence",
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
    "Matches",
    "MinimumDistance",
    "Numbering",
    "ReaderError",
    "Recipe",
    "Reliability",
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
    "calibrate",
    "calibrate_matches",
    "clustering_scores",
    "confusions",
    "embed",
    "expected_calibration_error",
    "identify",
    "identify_tracks",
    "identity_f1",
    "images",
    "jaccard_graph",
    "keep_numbers",
    "load_recipe",
    "match",
    "nearest_neighbors",
    "recipes",
    "reliability",
    "render_scenes",
    "render_walkers",
    "rerank",
    "retrieval_scores",
    "summarise",
    "train",
]
