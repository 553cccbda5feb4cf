"""Converts rows to calls and results to columns, and reads and writes files and checkpoints."""
