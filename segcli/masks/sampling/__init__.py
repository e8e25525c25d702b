"""Convert a model's instances to segments of the original image, without full-size masks."""

from segcli.masks.sampling.segment import segments, segments_of_batch

__all__ = ["segments", "segments_of_batch"]
