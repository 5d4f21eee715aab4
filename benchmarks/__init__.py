"""Ours beside a peer, on the same input, with equal output checked first. `python -m benchmarks` prints the table."""
