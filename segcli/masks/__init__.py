"""Masks as run lengths, and how they come from a model's fields or an annotator's outlines."""
