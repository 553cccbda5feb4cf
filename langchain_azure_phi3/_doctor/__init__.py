"""Examines an endpoint over the same transport that the chat model uses."""
