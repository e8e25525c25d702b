"""The stages of a worker: read, decode, batch, infer, make masks."""
