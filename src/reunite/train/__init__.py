"""Room 6: the loop."""

from reunite.train.batches import IdentityBatches, ShuffledBatches
from reunite.train.loop import train
from reunite.train.optimizers import SGD, Adam
from reunite.train.parse import load_recipe
from reunite.train.recipe import Recipe
from reunite.train.rounds import Round

__all__ = ["SGD", "Adam", "IdentityBatches", "Recipe", "Round", "ShuffledBatches", "load_recipe", "train"]
