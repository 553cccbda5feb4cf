"""Checks what an endpoint supports, over the transport that the chat model uses."""
