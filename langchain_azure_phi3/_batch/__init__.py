"""Rows as calls, results as columns, and the files and checkpoints around them."""
