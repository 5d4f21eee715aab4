"""Public data sets of tracklets: how each lies on disk, and the split it comes with."""
