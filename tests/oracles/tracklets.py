"""Tracklets by definition, in loops."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F


def groups(images, part=None):
    """Rows of each tracklet, in order of time, tracklets in the order of their first image."""
    found = {}
    for row in range(len(images)):
        alone = images.track[row] == -1
        key = (
            images.camera[row],
            -1 if alone else images.track[row],
            None if part is None else part[row],
            row if alone else None,
        )
        found.setdefault(key, []).append(row)
    ordered = []
    for rows in found.values():
        if not any(np.isnan(images.time[row]) for row in rows):
            rows = sorted(rows, key=lambda row: (images.time[row], row))
        ordered.append(rows)
    return ordered


def tracklet_embedding(encoder, pixels, mean_of):
    """What tests see of one tracklet, (d,): one frame at a time through the network, then the mean that is asked for."""
    encoder.eval()
    with torch.no_grad():
        pooled = [encoder.pooled(torch.from_numpy(frame[None])) for frame in pixels]
        if mean_of == "pooled":
            total = sum(each.double() for each in pooled) / len(pooled)
            return encoder.tested(encoder.head(total.float()))[0].numpy()
        units = [encoder.tested(encoder.head(each)) for each in pooled]
        return F.normalize(sum(each.double() for each in units) / len(units), dim=1)[0].numpy()
