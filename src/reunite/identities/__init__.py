"""Who is who: from embeddings of images, or of tracks, to individuals, and how sure that is."""

from reunite.identities.identify import identify
from reunite.identities.result import Identities
from reunite.identities.summaries import summarise
from reunite.identities.tracks import TrackIdentities, identify_tracks

__all__ = ["Identities", "TrackIdentities", "identify", "identify_tracks", "summarise"]
