"""Room 6: the loop."""

from reunite.train.batches import IdentityBatches
from reunite.train.loop import train
from reunite.train.optimizers import Adam
from reunite.train.recipe import Recipe
from reunite.train.rounds import Round

__all__ = ["Adam", "IdentityBatches", "Recipe", "Round", "train"]
