"""Counting in windows, waiting in order, and the store that processes share."""
