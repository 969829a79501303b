"""What can go wrong with a server or a put; each text is a sentence for whoever asked."""

from __future__ import annotations


class PutFailed(Exception):
    """A put could not be carried out, or not completely."""


class Refused(PutFailed):
    """A put is refused: nothing was done and nothing changed."""


class CannotServe(Exception):
    """The server cannot be started: a port is in use or an environment variable makes no sense."""
