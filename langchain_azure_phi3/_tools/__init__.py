"""Tools and formats described in the prompt; tool calls and objects parsed from text."""
