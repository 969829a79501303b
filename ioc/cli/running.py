"""The running IOC, as a client sees it: puts by Channel Access, with the reason if one is refused.

aioca is imported where it is used: it loads the libraries of EPICS base.
"""

# ruff: noqa: PLC0415
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false

from __future__ import annotations

from ioc.errors import PeerError, Refused

CONNECT_SECONDS = 5.0
PUT_SECONDS = 30.0


async def find(pv: str) -> None:
    """Connect to a PV of the IOC.

    Raises:
        PeerError: no IOC answers.
    """
    import aioca

    try:
        await aioca.connect(pv, timeout=CONNECT_SECONDS)
    except aioca.CANothing:
        raise PeerError(
            f"no IOC answers for {pv} within {CONNECT_SECONDS:g} s: it must run, and EPICS_CA_ADDR_LIST "
            "must name its machine or network"
        ) from None


async def put(pv: str, value: str | int, reason: str) -> None:
    """Put and wait for the answer; a text goes as an array of characters.

    Raises:
        Refused: with the text of the PV `reason`, which says why.
    """
    import aioca
    from epicscorelibs.ca.dbr import DBR_CHAR_STR

    try:
        datatype = DBR_CHAR_STR if isinstance(value, str) else None
        await aioca.caput(pv, value, datatype=datatype, wait=True, timeout=PUT_SECONDS)
    except aioca.CANothing:
        raise Refused(f"{pv}: {await text(reason)}") from None


async def text(pv: str) -> str:
    """Return the value of a long text."""
    import aioca
    from epicscorelibs.ca.dbr import DBR_CHAR_STR

    return str(await aioca.caget(pv, datatype=DBR_CHAR_STR, timeout=CONNECT_SECONDS))


async def is_served(pv: str) -> bool:
    """Whether a PV answers now."""
    import aioca

    try:
        await aioca.connect(pv, timeout=1.0)
    except aioca.CANothing:
        return False
    return True
