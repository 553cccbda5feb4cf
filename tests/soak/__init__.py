"""Thousands of concurrent calls through injected faults, each with the right result.

`make soak` runs it. Questions, faults, evaluation and report are pure code (`questions`, `faults`,
`evaluation`, `report`, `plot`); the other modules run the load and watch it.
"""
