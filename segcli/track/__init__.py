"""Follow objects over the frames of each camera, across its clips."""

from segcli.track.run import TrackOptions, TrackSummary, track
from segcli.track.tracker import Rules

__all__ = ["Rules", "TrackOptions", "TrackSummary", "track"]
