"""Where chunks are processed: this process, worker processes, or a Ray cluster."""
