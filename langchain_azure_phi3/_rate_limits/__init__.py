"""Counts in windows, waits in order, and stores counters that processes share."""
