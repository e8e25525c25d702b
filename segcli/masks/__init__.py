"""Masks as run lengths, computed from a model's fields or from annotated outlines."""
