"""The version of Reunite, which checkpoints keep."""

__version__ = "0.1.0"
