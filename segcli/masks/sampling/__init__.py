"""From what a model found to segments in the original image, without making full-size masks."""

from segcli.masks.sampling.segment import segments

__all__ = ["segments"]
