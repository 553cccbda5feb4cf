"""Turns the response's JSON into messages, chunks, usage and metadata."""
