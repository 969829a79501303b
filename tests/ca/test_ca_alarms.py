"""Acknowledging alarms, compared with EPICS base's softIoc."""

from __future__ import annotations

import caproto as ca
import pytest
from raw_client import RawClient

from ioc.ca import Client, FloatPv
from tests.ca.serving import Serve
from tests.epics import Epics

RECORD = """record(ao, "S:X") { field(HIGH, "5") field(HSV, "MINOR") field(HIHI, "9") field(HHSV, "MAJOR")
  field(PINI, "YES") }
"""
MAJOR, MINOR, NONE = ("MAJOR", "YES"), ("MINOR", "YES"), ("NO_ALARM", "YES")


async def told(port: int, name: str, data_type: int, value: int) -> int:
    """Put it as a client does; returns the status of the answer."""
    async with RawClient(port) as client:
        channel = await client.channel(name)
        await client.send(ca.WriteNotifyRequest((value,), data_type, 1, channel.sid, 7))
        answer = await client.next(ca.WriteNotifyResponse)
        return answer.header.parameter1


async def test_as_a_soft_ioc(epics: Epics, serve: Serve) -> None:
    """The fields ACKS and ACKT go through the same values, whatever becomes of the alarm and is acknowledged."""

    async def store(client: Client, value: float) -> None:
        pv.post(value)

    pv = FloatPv("T:X", "", high=5, hihi=9, on_put=store)
    pv.post(0.5)
    server = await serve(pv)
    steps = [
        ("value", 6, MINOR),
        ("value", 10, MAJOR),
        ("value", 6, MAJOR),
        ("acks", 1, MAJOR),
        ("value", 0, MAJOR),
        ("acks", 2, NONE),
        ("value", 10, MAJOR),
        ("acks", 2, NONE),
        ("ackt", 0, ("NO_ALARM", "NO")),
        ("value", 6, ("MINOR", "NO")),
        ("value", 0, ("NO_ALARM", "NO")),
        ("ackt", 1, NONE),
        ("value", 10, MAJOR),
        ("value", 0, MAJOR),
        ("ackt", 0, ("NO_ALARM", "NO")),
    ]
    with epics.soft_ioc(RECORD) as soft_port:
        for what, value, fields in steps:
            for name, port in (("S:X", soft_port), ("T:X", server.port)):
                if what == "value":
                    assert (await epics.acaput("-c", name, str(value))).returncode == 0
                else:
                    assert await told(port, name, 36 if what == "acks" else 35, value) == 1
                shown = (await epics.acaget("-t", f"{name}.ACKS", f"{name}.ACKT")).stdout.split()
                assert tuple(shown) == fields, (name, what, value)


async def test_who_may_acknowledge(serve: Serve) -> None:
    """Also an alarm of a read-only PV, also by one of its fields, but only somebody who may write there."""
    pv = FloatPv("T:X", "", hihi=9)
    server = await serve(pv)
    for name in ("T:X", "T:X.SEVR", 'T:X.{"ts":{}}'):
        pv.post(10)
        assert pv.unacknowledged == 2
        assert await told(server.port, name, 36, 2) == 1
        assert pv.unacknowledged == 0
        pv.post(0)
    pv.post(10)
    serve.denied_users.add("tester")
    assert await told(server.port, "T:X", 36, 2) == ca.CAStatus.ECA_NOWTACCESS.value.code_with_severity
    assert pv.unacknowledged == 2
    journal = [(put.pv, put.old_value, put.new_value, put.result) for put in serve.puts]
    assert journal == [("T:X.ACKS", "2", "2", "ok")] * 3 + [("T:X.ACKS", "2", "2", "denied")]


@pytest.mark.parametrize("field", ["T:X.ACKS", "T:X.ACKT"])
async def test_acknowledging_is_monitored(epics: Epics, serve: Serve, field: str) -> None:
    """Monitors of the fields are told."""
    pv = FloatPv("T:X", "", hihi=9)
    server = await serve(pv)
    pv.post(10)
    async with epics.camonitor(field) as monitor:
        await monitor.until(lambda lines: lines)
        await told(server.port, "T:X", 36 if field.endswith("S") else 35, 2 if field.endswith("S") else 0)
        await monitor.until(lambda lines: len(lines) > 1 and lines[-1].split()[3].startswith("NO"))
