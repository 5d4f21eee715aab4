"""`python -m reunite`, and `torchrun -m reunite` for several processes."""

from reunite.cli import main

main()
