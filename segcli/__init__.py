"""Batch instance segmentation of large image archives."""

__version__ = "0.1.0"
