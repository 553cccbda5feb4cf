"""Tools and formats described in the prompt, and tool calls and objects read from text."""
