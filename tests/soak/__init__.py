"""Thousands of questions at once through all that can go wrong, each ending as it should.

`make soak` runs it. What is asked, what is ordered to fail and what is right are pure code
(`asks`, `ordered`, `judging`), and so is what is told of it (`report`, `picture`); the rest acts.
"""
