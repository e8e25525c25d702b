"""The models at hand: families and their weights, checkpoints as files, devices."""
