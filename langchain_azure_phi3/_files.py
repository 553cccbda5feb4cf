"""Errors of files that name the file and its purpose."""

import os


def explain_os_error(error: OSError, purpose: str, path: str | os.PathLike[str]) -> OSError:
    """An error of the same type and number, as sentences.

    Args:
        error: What the operating system reports.
        purpose: What the file is, such as "The image".
        path: Where it was looked for.
    """
    reason = error.strerror or str(error)
    where = "" if os.path.isabs(path) else f", which starts at the current folder, {os.getcwd()}"
    explained = type(error)(
        f"{purpose} {os.fspath(path)!r} cannot be read: {reason}. Check the path{where}."
    )
    explained.errno = error.errno
    return explained
