"""The outcomes of live checks, and how a check is judged."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from ioc.errors import AttpcError

Result = TypeVar("Result")

ANSWER_SECONDS = 6.0
"""Time-out of a login and of a server: an sshd that looks for our name in vain (UseDNS) lets us in after seconds."""
_WHOLE_SECONDS = 8.0
"""Time-out of all; the process also has to start and to end within the ten seconds that are promised."""


class Verdict(Enum):
    """How a check ended."""

    Good = "ok"
    Doubt = "warning"
    """It works, but is probably not what is wanted."""
    Failed = "FAILED"
    Skipped = "not asked"
    """It depends on another check, which failed."""


@dataclass(frozen=True)
class Finding:
    what: str
    verdict: Verdict
    text: str


@dataclass(frozen=True)
class Table:
    machine: str
    findings: tuple[Finding, ...]


class Doubt(Exception):
    """The test passed, but with a warning for the user."""


class Judge:
    """Turns the ends of checks into findings; all of them end within the time-out of the whole."""

    def __init__(self) -> None:
        self._end = asyncio.get_running_loop().time() + _WHOLE_SECONDS

    async def ask(
        self, what: str, check: Awaitable[Result], say: Callable[[Result], str], seconds: float = _WHOLE_SECONDS
    ) -> tuple[Finding, Result | None]:
        """Wait for one check for this time, at most until the end of the whole.

        Also returns its result, None if it failed. `say` returns the text for a passed test.
        """
        began = asyncio.get_running_loop().time()
        end = min(began + seconds, self._end)
        try:
            async with asyncio.timeout_at(end):
                result = await check
                return Finding(what, Verdict.Good, say(result)), result
        except Doubt as doubt:
            return Finding(what, Verdict.Doubt, _without_name(doubt, what)), None
        except TimeoutError:
            return Finding(what, Verdict.Failed, f"no answer within {max(end - began, 0):.1f} s"), None
        except AttpcError as error:
            return Finding(what, Verdict.Failed, _without_name(error, what)), None

    async def all(self, *checks: tuple[str, Awaitable[str]]) -> tuple[Finding, ...]:
        """Wait for several checks at the same time; the findings are in their order."""
        ends = await asyncio.gather(*(self.ask(what, check, str) for what, check in checks))
        return tuple(finding for finding, _ in ends)


def _without_name(error: Exception, what: str) -> str:
    """A sentence beside the name of what it is about: it need not begin with it again."""
    return str(error).removeprefix(f"{what} ")


def skipped(what: str, why: str) -> Finding:
    """A check that could not be made."""
    return Finding(what, Verdict.Skipped, why)
