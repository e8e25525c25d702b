"""Retention: remove the rows of old images, and keep their daily counts."""

from segcli.retention.counts import kept_counts
from segcli.retention.pruning import Pruned, PruneOptions, prune

__all__ = ["PruneOptions", "Pruned", "kept_counts", "prune"]
