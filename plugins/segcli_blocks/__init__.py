"""Parts that several families share; not a family."""
