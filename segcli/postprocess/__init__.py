"""From what a model found to segments in the original image, without making full-size masks."""

from segcli.postprocess.segment import segments

__all__ = ["segments"]
