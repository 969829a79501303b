"""Reads a file that somebody has named."""

from __future__ import annotations

from pathlib import Path

from ioc.errors import ConfigurationError, Problem

_MOST_BYTES = 4_000_000


def read_text(path: Path, what: str, if_missing: str = "") -> str:
    """Return the text of a file that must be `what`; `if_missing` is advice.

    Raises:
        ConfigurationError: it cannot be read.
    """
    try:
        with path.open("rb") as file:  # it may be an endless device
            content = file.read(_MOST_BYTES + 1)
        if len(content) > _MOST_BYTES:
            raise _refusal(path, 0, f"has more than {_MOST_BYTES} bytes, but must be {what}")
        return content.decode()
    except FileNotFoundError:
        raise _refusal(path, 0, f"does not exist{if_missing}") from None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise _refusal(path, line, "has a byte that is not UTF-8, but must be UTF-8 text") from None
    except (OSError, ValueError) as error:  # ValueError: an impossible file name
        reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
        raise _refusal(path, 0, f"cannot be read ({reason}), but must be {what}") from None


def _refusal(path: Path, line: int, text: str) -> ConfigurationError:
    return ConfigurationError((Problem(str(path), line, text),))
