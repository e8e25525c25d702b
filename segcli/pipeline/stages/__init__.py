"""What one worker does with a chunk: read ahead, batch, infer, postprocess."""
