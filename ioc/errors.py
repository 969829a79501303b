"""The errors of this program: the class shows whose fault it is.

Every message names the object, its actual and its required value in one sentence that an operator can act on. It is
shown unchanged in a ``Message`` PV, in the answer to a put and in the log.
"""

from dataclasses import dataclass


class AttpcError(Exception):
    """Root of all errors that this program raises on purpose."""

    logged = False
    """Set on an error that the log and the message of its subject already have."""


class Refused(AttpcError):
    """A request is refused: nothing was done and nothing changed."""


class PeerError(AttpcError):
    """A peer (ECC server, host, database file, other IOC) is unreachable or did something wrong."""


class PeerTimeout(PeerError):
    """A peer did not answer in time; what it did with the request is unknown."""


class PeerHangs(PeerTimeout):
    """A peer accepted the connection and then did not answer in time: its program is there, but hangs."""


class PeerRejected(PeerError):
    """A peer understood the request and answered that it failed."""


_BEGIN, _END = 300, 400
"""Characters of a long text that are shown: it begins with the key and ends with what must be there."""


@dataclass(frozen=True)
class Problem:
    """One error in a configuration file."""

    file: str
    line: int
    """Counted from 1; 0 for the file as a whole."""
    text: str
    """What is wrong, and the correct value."""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        whole = len(self.text) <= _BEGIN + _END
        return f"{place}: {self.text if whole else f'{self.text[:_BEGIN]} … {self.text[-_END:]}'}"


class ConfigurationError(AttpcError):
    """A configuration file has errors; ``problems`` lists all of them, not only the first."""

    def __init__(self, problems: tuple[Problem, ...]) -> None:
        super().__init__("\n".join(str(problem) for problem in problems))
        self.problems = problems
