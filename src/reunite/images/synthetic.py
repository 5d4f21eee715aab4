"""Rendered walkers (being written)."""


def render_walkers(folder, identities=60, cameras=4, images=8, seed=0, size=(128, 64), progress=None):
    """Being written."""
    raise NotImplementedError
