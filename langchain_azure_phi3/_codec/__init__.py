"""LangChain values to wire JSON and back. Nothing here does I/O."""
