"""Every error Reunite raises on purpose. Catch the level that suits you.

ReuniteError
├── InputError (also a ValueError)   an argument, array or option is not what was expected
│   ├── ReaderError                  a folder or table is not a data set we can read
│   └── ImageError                   an image is broken, truncated, too large or not an image
├── ClusteringError                  a round found nothing that can be learned from
├── TrainingError                    the loss is no longer a number
├── WeightsError                     weights cannot be had or do not fit the network
└── RunError                         a run folder is missing, damaged or belongs to something else

Each message says what was expected, what came, and what to do. The command line prints it on one line and ends
with exit code 2; anything else that escapes is a defect of ours and ends with exit code 1.
"""


class ReuniteError(Exception):
    """Base of all errors raised by Reunite.

    Attributes:
        told: whether another process of the same job says it already.
    """

    told: bool = False


class InputError(ReuniteError, ValueError):
    """An argument, array or option is not what was expected."""


class ReaderError(InputError):
    """A folder or table is not a data set that can be read."""


class ImageError(InputError):
    """An image is broken, truncated, too large or not an image."""


class ClusteringError(ReuniteError):
    """A round of clustering left nothing that can be learned from."""


class TrainingError(ReuniteError):
    """Training cannot go on: the loss is no longer a number."""


class WeightsError(ReuniteError):
    """Weights cannot be had, or do not fit the network."""


class RunError(ReuniteError):
    """A run folder is missing, damaged or belongs to something else."""
