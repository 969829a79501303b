"""A PVAccess server as other IOCs are: structures of several kinds; each line of standard input changes them.

The line is JSON: the name of a PV, and its new value or, for a structure, its fields.
"""

from __future__ import annotations

import json
import sys

import numpy as np
from p4p import Type, Value
from p4p.nt import NTEnum, NTNDArray, NTScalar
from p4p.server import Server
from p4p.server.raw import SharedPV

GAS = Type(
    [
        ("pressure", "d"),
        ("bottle", ("S", None, [("number", "i"), ("name", "s")])),
        ("alarm", ("S", "alarm_t", [("severity", "i"), ("status", "i"), ("message", "s")])),
        ("timeStamp", ("S", "time_t", [("secondsPastEpoch", "l"), ("nanoseconds", "i"), ("userTag", "i")])),
    ],
    id="lab:gas:1.0",
)
AT = 1_700_000_000


def main() -> None:
    number = NTScalar("s" if "--text" in sys.argv else "d", display=True, form=True)
    stamp = {"secondsPastEpoch": AT, "nanoseconds": 500_000_000}
    units = {"display": {"units": "Torr", "precision": 2}} if "--text" not in sys.argv else {}
    pvs = {
        "P:Number": SharedPV(nt=number, initial={"value": "off" if "--text" in sys.argv else 1.5, **units}),
        "P:Enum": SharedPV(nt=NTEnum(), initial={"index": 1, "choices": ["Shut", "Open"]}),
        "P:Text": SharedPV(nt=NTScalar("s"), initial="He + 10 % CO2, grün"),
        "P:Array": SharedPV(nt=NTScalar("ad"), initial=[7.5, 8.0]),
        "P:Image": SharedPV(nt=NTNDArray(), initial=np.zeros((2, 2))),
        "P:Gas": SharedPV(
            initial=Value(
                GAS,
                {
                    "pressure": 360.5,
                    "bottle": {"number": 3, "name": "B3"},
                    "alarm": {"severity": 1, "message": "LOW"},
                    "timeStamp": stamp,
                },
            )
        ),
    }
    with Server(providers=[pvs]):
        print("ready", flush=True)
        for line in sys.stdin:
            name, value = json.loads(line)
            pvs[name].post(Value(GAS, value) if name == "P:Gas" else value)


if __name__ == "__main__":
    main()
