"""The running IOC, as a client sees it: puts by Channel Access, with the reason if one is refused.

aioca is imported where it is used: it loads the libraries of EPICS base.
"""

# ruff: noqa: PLC0415
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from typing import Any

from ioc.errors import PeerError, Refused

CONNECT_SECONDS = 5.0
PUT_SECONDS = 30.0
_NO_WRITE_ACCESS = 376
"""ECA_NOWTACCESS in EPICS base's caerr.h."""


async def put(pv: str, value: str | int, reason: str) -> None:
    """Put and wait for the answer; a text goes as an array of characters.

    Raises:
        Refused: with the text of the PV `reason`, which says why, or because this client may not write.
        PeerError: the IOC does not answer any more.
    """
    import aioca
    from epicscorelibs.ca.dbr import DBR_CHAR_STR

    datatype = DBR_CHAR_STR if isinstance(value, str) else None
    done: Any = await aioca.caput(pv, value, datatype=datatype, wait=True, timeout=PUT_SECONDS, throw=False)
    if done.ok:
        return
    if done.errorcode == _NO_WRITE_ACCESS:
        raise Refused(f"{pv}: this user and host may not write it (`access` in the topology)")
    raise Refused(f"{pv}: {await text(reason)}")


async def text(pv: str) -> str:
    """Return the value of a long text.

    Raises:
        PeerError: the IOC does not answer any more.
    """
    import aioca
    from epicscorelibs.ca.dbr import DBR_CHAR_STR

    found: Any = await aioca.caget(pv, datatype=DBR_CHAR_STR, timeout=CONNECT_SECONDS, throw=False)
    if not found.ok:
        raise PeerError(f"{pv}: the IOC stopped answering")
    return str(found)


async def is_served(pv: str, seconds: float = CONNECT_SECONDS) -> bool:
    import aioca

    try:
        await aioca.connect(pv, timeout=seconds)
    except aioca.CANothing:
        return False
    return True
