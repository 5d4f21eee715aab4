"""Room 5: (embeddings, labels) -> scalar."""

from reunite.losses.memory import ClusterMemory

__all__ = ["ClusterMemory"]
