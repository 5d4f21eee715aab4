"""The rules of the house, as one call each: for our own parts, and for whoever writes one outside.

    from reunite.testing import check_clusterer, check_loss

    def test_my_loss():
        check_loss(MyLoss(margin=0.2))

A broken rule is an AssertionError that says which, with numbers.
"""

from reunite.testing.clusterers import check_clusterer
from reunite.testing.losses import check_loss

__all__ = ["check_clusterer", "check_loss"]
