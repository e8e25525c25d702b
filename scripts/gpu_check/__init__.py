"""Checks and measurements on a CUDA device: `python -m scripts.gpu_check --out FOLDER`."""
