"""What one worker does with a chunk: read, decode, batch, infer, make masks."""
