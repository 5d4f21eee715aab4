"""Room 4: who belongs together. All are scikit-learn clusterers."""

from reunite.cluster.density import JaccardDBSCAN

__all__ = ["JaccardDBSCAN"]
