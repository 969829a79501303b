"""Every PV as every DBR type, compared with what EPICS base's softIoc sends for a record of that kind."""

from __future__ import annotations

import itertools
from typing import Any

from ioc.ca import Client, EnumPv, FloatArrayPv, FloatPv, IntPv, Pv, StringArrayPv, StringPv, TextPv
from ioc.ca.types import NumberLimits
from tests.ca.serving import Serve
from tests.epics import Epics

LIMITS = """field(HIHI, 9) field(HIGH, 8) field(LOW, 1) field(LOLO, -5) field(HHSV, MAJOR) field(HSV, MINOR)
  field(LSV, MINOR) field(LLSV, MAJOR) field(HOPR, 10) field(LOPR, -10) field(DRVH, 10) field(DRVL, -10)"""
DATABASE = f"""
record(mbbo, "S:Enum") {{ field(ZRST, "Off") field(ONST, "Idle") field(TWST, "Described") field(VAL, "1")
  field(PINI, "YES") }}
record(longout, "S:Int") {{ field(EGU, "MB") field(VAL, "-7") field(PINI, "YES") {LIMITS} }}
record(ao, "S:Float") {{ field(EGU, "Torr") field(PREC, 2) field(VAL, "3.14159") field(PINI, "YES") {LIMITS} }}
record(stringout, "S:String") {{ field(VAL, "short") field(PINI, "YES") }}
record(stringout, "S:Digits") {{ field(VAL, "12") field(PINI, "YES") }}
record(waveform, "S:Text") {{ field(FTVL, "CHAR") field(NELM, 40) field(PINI, "YES") }}
record(waveform, "S:List") {{ field(FTVL, "STRING") field(NELM, 5) field(PINI, "YES") }}
record(waveform, "S:History") {{ field(FTVL, "DOUBLE") field(NELM, 5) field(EGU, "Torr") field(PREC, 3)
  field(PINI, "YES") }}
"""
NUMBERS = ("INT", "FLOAT", "ENUM", "CHAR", "LONG", "DOUBLE")
KINDS = ("", "STS_", "TIME_", "GR_", "CTRL_")
READ_AS = {
    "Enum": ("STRING", *NUMBERS),
    "Int": ("STRING", "INT", "FLOAT", "CHAR", "LONG", "DOUBLE"),  # softIoc makes the ENUM 65529 of -7
    "Float": ("STRING", *NUMBERS),
    "String": ("STRING",),
    "Digits": ("STRING", "INT", "FLOAT", "CHAR", "LONG", "DOUBLE"),
    "Text": NUMBERS,  # softIoc shows the numbers of the characters as STRING, we the text
    "List": ("STRING",),
    "History": ("STRING", *NUMBERS),
}


async def _accept(client: Client, value: object) -> None:
    pass


def pvs() -> list[Pv[Any]]:
    limits: NumberLimits = {"lolo": -5, "low": 1, "minimum": -10, "hihi": 9, "high": 8, "maximum": 10}
    number = IntPv("T:Int", "", units="MB", **limits, on_put=_accept)
    number.post(-7)
    return [
        EnumPv("T:Enum", "", ("Off", "Idle", "Described"), value=1, on_put=_accept),
        number,
        FloatPv("T:Float", "", units="Torr", precision=2, value=3.14159, **limits, on_put=_accept),
        StringPv("T:String", "", value="short", on_put=_accept),
        StringPv("T:Digits", "", value="12", on_put=_accept),
        TextPv("T:Text", "", 40, value="two", on_put=_accept),
        StringArrayPv("T:List", "", 5, value=("one", "two")),
        FloatArrayPv("T:History", "", 5, units="Torr", value=(1.5, 2.25)),
    ]


async def shown(epics: Epics, prefix: str, data_type: str, names: list[str]) -> list[str]:
    result = await epics.acaget("-d", f"DBR_{data_type}", *(f"{prefix}:{name}" for name in names))
    lines = (result.stdout + result.stderr).replace(f"{prefix}:", "").splitlines()
    return [" ".join(line.split()) for line in lines if "Timestamp" not in line]


async def test_every_type_of_every_pv(epics: Epics, serve: Serve) -> None:
    """caget shows the same value and the same metadata from both servers."""
    await serve(*pvs())
    with epics.soft_ioc(DATABASE):
        assert (await epics.acaput("-c", "-S", "S:Text", "two")).returncode == 0
        assert (await epics.acaput("-c", "-a", "S:List", "2", "one", "two")).returncode == 0
        assert (await epics.acaput("-c", "-a", "S:History", "2", "1.5", "2.25")).returncode == 0
        for kind, native in itertools.product(KINDS, ("STRING", *NUMBERS)):
            names = [name for name, types in READ_AS.items() if native in types]
            expected = await shown(epics, "S", kind + native, names)
            assert await shown(epics, "T", kind + native, names) == expected
        for data_type in ("STSACK_STRING", "CLASS_NAME"):
            names = [name for name in READ_AS if name != "Text"]
            assert await shown(epics, "T", data_type, names) == await shown(epics, "S", data_type, names)
