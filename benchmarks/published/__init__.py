"""The published algorithms in their dense form, in plain NumPy and SciPy: what `make bench` compares ours with.

Each does what the authors' program does, in its order and with its matrices, written anew: n x n arrays, a Python loop over
images where they have one, whole sorts. Vectorised where a line of NumPy says the same; no trick that the program lacks.
tests/benchmarks holds them equal to what the programs themselves gave (../shared/golden).
"""
