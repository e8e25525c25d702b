"""Installed models: families, their weights, checkpoints as files, and devices."""
