"""Tables of names in published checkpoints, one module for each code base."""
