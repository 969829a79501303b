"""Names and texts from outside that could do harm where they are used."""

from __future__ import annotations

import re
from collections.abc import Mapping

from ioc.errors import Refused

_CONFIG_NAME = re.compile(r"[A-Za-z0-9_\-.+@](?:[A-Za-z0-9_\-.+@ ]*[A-Za-z0-9_\-.+@])?")

CONFIG_NAME_LENGTH = 120

EXPERIMENT_LENGTH = 100

PVA_SCHEME = "pva://"
"""Before the name of a PV that is followed by PVAccess; without it Channel Access is meant."""

COMMENT_LENGTH = 2000
"""Bytes of UTF-8."""


def check_config_name(name: str) -> str:
    """Return `name` if it is safe inside a configID; a malformed one can kill the ECC server process.

    Allowed: letters, digits, ``_ - . + @`` and spaces inside, 1 to 120 characters (measured on the real server).

    Raises:
        Refused: the name is not allowed; the text says why.
    """
    if len(name) > CONFIG_NAME_LENGTH:
        raise Refused(
            f"configuration name {name[:20]!r}… has {len(name)} characters, but may have {CONFIG_NAME_LENGTH}"
        )
    if not _CONFIG_NAME.fullmatch(name):
        raise Refused(
            f"configuration name {name!r} must have only letters, digits and _ - . + @ (spaces inside), at least one"
        )
    return name


def check_experiment(name: str) -> str:
    """Return `name` if it can be the name of an experiment, which is also a directory on every router host.

    Raises:
        Refused: the name is not allowed; the text says why.
    """
    if not 1 <= len(name) <= EXPERIMENT_LENGTH or len(name.encode()) > 200:
        raise Refused(
            f"experiment name has {len(name)} characters, but must have 1 to {EXPERIMENT_LENGTH} (200 bytes of UTF-8)"
        )
    if name != name.strip() or name.startswith((".", "-")) or "/" in name or not name.isprintable():
        raise Refused(
            f"experiment name {name!r} is also a directory: it must be printable, without '/', "
            "not start with '.' or '-', and have no space at either end"
        )
    return name


def check_comment(text: str) -> str:
    """Return `text` if it can be the comment on a run: printable, but it may have several lines and tabs.

    Raises:
        Refused: it is too long, or has a control character; the text says which.
    """
    if (length := len(text.encode())) > COMMENT_LENGTH:
        raise Refused(f"comment has {length} bytes of UTF-8, but must have at most {COMMENT_LENGTH}")
    if wrong := next((letter for letter in text if not letter.isprintable() and letter not in "\n\t"), None):
        raise Refused(f"comment has the character {wrong!r}, but must be printable text; line breaks are \\n")
    return text


def chosen_experiment(settings: Mapping[str, str], default: str) -> str:
    """The experiment chosen by the operator, unless the `default` in the topology has changed since.

    `settings` are those of the run database, by name.
    """
    return settings.get("experiment", default) if settings.get("experiment_default") == default else default
