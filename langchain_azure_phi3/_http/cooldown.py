"""A pause that all who share an endpoint take together after a rate limit."""

from threading import Lock

_REMEMBERED = 1000

_lock = Lock()
_resumes_at: dict[str, float] = {}


def slow_down(endpoint: str, seconds: float, now: float) -> None:
    """Let nobody ask `endpoint` before `seconds` have passed.

    Args:
        endpoint: What shares a quota: one URL of completions.
        seconds: What the rate limit asked for.
        now: The monotonic clock, in seconds.
    """
    with _lock:
        for passed in [known for known, until in _resumes_at.items() if until <= now]:
            del _resumes_at[passed]
        if len(_resumes_at) < _REMEMBERED:
            _resumes_at[endpoint] = max(now + seconds, _resumes_at.get(endpoint, 0.0))


def seconds_left(endpoint: str, now: float) -> float:
    """How long the pause of `endpoint` lasts yet; 0 where there is none."""
    # Without the lock: a dict is read whole, and almost always empty.
    return max(0.0, _resumes_at.get(endpoint, 0.0) - now) if _resumes_at else 0.0
