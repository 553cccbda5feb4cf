"""A rejected answer, quoted where the model is asked to correct it."""


def quote_rejected(text: str, max_length: int) -> str:
    """The beginning of a correction, with at most so many characters of the answer."""
    quoted = text.strip()
    if quoted == "":
        return "That cannot be used."
    shown = quoted if len(quoted) <= max_length else f"{quoted[:max_length]}..."
    return f"That cannot be used. You wrote:\n{shown}"
