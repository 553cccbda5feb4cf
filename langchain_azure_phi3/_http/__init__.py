"""Sends and receives the wire's JSON, independently of LangChain's messages."""
