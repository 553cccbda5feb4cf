"""Turns a conversation, settings and a call's arguments into the request's JSON."""
