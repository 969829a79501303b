"""The control port of a simulated site."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import pytest
from sim_clients import ask, until
from sim_site import files, make_ready, settled

from ioc.sim import SimulatorError, Site


async def test_killed_server_comes_back_idle(site: Site) -> None:
    """Over the control port: a killed server refuses connections, a restarted one is Idle."""
    port = await make_ready(site)
    await ask(port, "Start")
    await until(lambda: files(site))
    await site.control({"ecc": "CoBo0", "do": "kill", "links": "end"})
    with pytest.raises(ConnectionRefusedError):
        await ask(port, "GetState")
    await site.control({"ecc": "CoBo0", "do": "restart"})
    assert (await ask(port, "GetState")).state == 1
    await settled(site)


REFUSED_COMMANDS: list[tuple[dict[str, Any], str]] = [
    ({"ecc": "CoBo9", "do": "kill"}, "'CoBo9' is not simulated; there are CoBo0, Mutant"),
    ({"ecc": "CoBo0", "do": "sing"}, "unknown command 'sing'"),
    ({"ecc": "CoBo0", "do": "fail"}, "needs 'operation'"),
    ({"ecc": "CoBo0", "do": "fail", "operation": "Levitate", "message": ""}, "must be one of Describe"),
    ({"ecc": "CoBo0", "do": "state", "state": "Lost"}, "must be one of off, idle"),
    ({"ecc": "CoBo0", "do": "behave", "as": "well"}, "must be one of normal"),
    ({"ecc": "CoBo0", "do": "kill", "links": "burn"}, "links is 'burn', but must be one of stay, yield, end"),
    ({"router": "data0", "do": "dance"}, "unknown command 'dance'"),
    ({"router": "data0", "do": "restart", "directory": "../up"}, "must be one name"),
    ({"source": "CoBo[9]", "do": "silence"}, "'CoBo[9]' is not simulated; there are CoBo[0], Mutant[master]"),
    ({"source": "CoBo[0]", "do": "shout"}, "unknown command 'shout'"),
    ({"router": "data0", "do": "stray", "file": "../x.graw"}, "no '/'"),
    ({"slow_controls": "X", "do": "freeze"}, "is not running"),
    ({"do": "something"}, "a command is do: status, or names"),
]


async def test_control_names_what_is_wrong(site: Site) -> None:
    """A command that cannot be done says why, and the simulator goes on."""
    for command, reason in REFUSED_COMMANDS:
        with pytest.raises(SimulatorError, match="did not do") as refused:
            await site.control(command)
        assert reason in str(refused.value)
    assert (await ask(site.addresses.servers["CoBo0"].port, "GetState")).state == 1


async def test_control_port_survives_nonsense(site: Site) -> None:
    """Lines that are no JSON object are answered with an error."""
    for line in (b"nonsense\n", b"[1]\n", b"7\n", b"\xff\xfe\n"):
        reader, writer = await asyncio.open_connection("127.0.0.1", site.addresses.control_port)
        writer.write(line)
        assert json.loads(await reader.readline())["ok"] is False
        writer.close()


async def test_control_on_the_shell(site: Site) -> None:
    """``python -m ioc.sim.control`` sends a command, prints the answer, and exits 0 only if it was done."""

    async def run(*arguments: str) -> tuple[int | None, str]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "ioc.sim.control", *arguments),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        output, _ = await process.communicate()
        return process.returncode, output.decode()

    port = str(site.addresses.control_port)
    assert await run(port, '{"ecc": "CoBo0", "do": "state", "state": "Off"}') == (0, '{"ok": true}\n')
    assert (await ask(site.addresses.servers["CoBo0"].port, "GetState")).state == 0
    assert (await run(port, '{"ecc": "CoBo0", "do": "sing"}'))[0] == 1
    assert (await run(port))[0] == 2
    assert (await run(port, "no JSON"))[0] == 2
    code, output = await run("1", "{}")
    assert (code, output.count("\n")) == (1, 1)
