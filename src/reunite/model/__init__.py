"""Room 2: images become embeddings."""

from reunite.model.embed import embed
from reunite.model.encoder import Encoder, EncoderSpec

__all__ = ["Encoder", "EncoderSpec", "embed"]
