"""Annotation files of other tools: one reader and one writer for each format."""
