"""Hooks that are programs, on this machine and over OpenSSH: whatever they do, the IOC goes on and nothing is left."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from ioc.hooks import HookRunner
from ioc.hooks.command import SCRIPT
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import fed_to_sh
from ioc.model import HookOutcome, HookPoint
from ioc.topology.schema import Hook, Hooks, Ssh
from tests.epics import PATIENCE
from tests.hooks.conftest import RUN, Make
from tests.laps import Laps
from tests.sshd import SshServer

SHOW = """
import json, os, sys
told = sys.stdin.read()
print(json.dumps([sys.argv[1:], {k: v for k, v in os.environ.items() if k.startswith("ATTPC_")}, json.loads(told)]))
"""
IGNORE = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); open(sys.argv[1], 'w').close()\n"


async def run(runner: HookRunner) -> HookOutcome:
    return await runner.run(HookPoint.AfterStart, "hv", RUN)


def alive(mark: str | Path) -> list[psutil.Process]:
    """Processes with a word in their command."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        try:
            if str(mark) in process.cmdline() and process.pid != os.getpid():
                found.append(process)
        except psutil.Error:
            continue
    return found


async def until(condition: Callable[[], object], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def until_gone(mark: str | Path) -> None:
    """Wait until no process has a word in its command."""
    await until(lambda: not alive(mark))


async def until_there(file: Path) -> None:
    await until(file.exists)


async def test_what_a_program_is_told(command: Make, tmp_path: Path) -> None:
    """Arguments are passed as they are, the run comes in the environment and on standard input, in any script."""
    arguments = ["$HOME", "a b", "it's", "ü\nö", "", "*", "-n", "a=b"]
    script = tmp_path / "show.py"
    script.write_text(SHOW)
    outcome = await run(command(sys.executable, script, *arguments))
    assert outcome.error == ""
    given, environment, told = json.loads(outcome.output)
    assert given == arguments
    assert environment == {
        "ATTPC_HOOK": "after_start",
        "ATTPC_HOOK_NAME": "hv",
        "ATTPC_EXPERIMENT": "e18008",
        "ATTPC_RUN": "12",
        "ATTPC_TITLE": RUN.title,
        "ATTPC_CLASS": "Beam",
        "ATTPC_STATE": "running",
        "ATTPC_DIRECTORY": "e18008/run_0012",
    }
    assert told["title"] == RUN.title
    assert told["started_at"] == "2027-01-15T08:00:00.250+00:00"
    assert {told[name] for name in ("stopped_at", "duration")} == {None}


async def test_a_title_that_is_no_text(command: Make) -> None:
    """Half a surrogate pair and NUL, which no variable can have, do no harm."""
    odd = RUN.changed(title="a\ud800b\0c")
    outcome = await command("sh", "-c", "echo $ATTPC_TITLE").run(HookPoint.AfterStart, "hv", odd)
    assert outcome == HookOutcome("", "a?bc")


ENDS = [
    (("true",), "", ""),
    (("sh", "-c", "exit 3"), "exit status 3", ""),
    (("sh", "-c", "echo HV is off; echo really >&2; exit 1"), "exit status 1", "HV is off | really"),
    (("sh", "-c", "kill -9 $$"), "exit status 137", ""),
    (("/no/such program",), "exit status 127", "/no/such program does not exist"),
    (("no-such-program",), "exit status 127", "no-such-program does not exist"),
    (("/etc/passwd",), "exit status 127", "/etc/passwd may not be executed"),
    (("/",), "exit status 127", "/ may not be executed"),
    (("sh", "-c", "exec <&-; sleep 0.1"), "", ""),
    (("sh", "-c", r"printf '\033[2J\007a\r\nb\377'"), "", "\\x1b[2J\\x07a | b�"),
]


@pytest.mark.parametrize(("program", "error", "output"), ENDS)
async def test_how_a_program_ends(command: Make, program: tuple[str, ...], error: str, output: str) -> None:
    """The exit status counts; the output is one harmless line."""
    outcome = await run(command(*program))
    assert outcome.error == error
    assert outcome.output.endswith(output)
    assert bool(outcome.output) == bool(output)


async def test_a_program_in_the_home_directory(command: Make) -> None:
    """``~/`` is the home of the user there."""
    assert "/no-such-file-there does not exist" in (await run(command("~/no-such-file-there"))).output


async def test_a_program_that_hangs_is_left_in_time(command: Make, tmp_path: Path) -> None:
    """At its time-out the hook has failed, with what it had written; it and its children are ended, SIGTERM or not."""
    ready, mark = tmp_path / "ready", tmp_path / "mark"
    script = f'echo begun; ({sys.executable} -c "$0" {ready} & wait) & exec {sys.executable} -c "$0" {mark}'
    runner = command("sh", "-c", script, f"{IGNORE}time.sleep(1000)", timeout=5)
    before = time.monotonic()
    outcome = await run(runner)
    assert outcome == HookOutcome("it did not end within 5 s", "begun")
    assert 4.9 < time.monotonic() - before < 6.0
    assert ready.exists()
    await until_gone(ready)
    await until_gone(mark)


async def test_a_child_that_holds_the_output_open(command: Make, tmp_path: Path) -> None:
    """A hook ends with its program; what it leaves in its process group ends too, what left the group lives on."""
    one, other = tmp_path / "one", tmp_path / "other"
    sleep = f'{sys.executable} -c "$0"'
    script = f"{sleep} {one} & setsid {sleep} {other} & while [ ! -e {one} ] || [ ! -e {other} ]; do sleep 0.01; done"
    try:
        outcome = await run(command("sh", "-c", f"{script}; echo done", f"{IGNORE}time.sleep(1000)", timeout=20))
        assert outcome == HookOutcome("", "done")
        await until_gone(one)
        assert alive(other)
    finally:
        for process in alive(other):
            process.kill()


async def test_output_is_bounded(command: Make) -> None:
    """Of a long output the end is kept; a program that writes without end is ended."""
    outcome = await run(command("sh", "-c", "seq 100000; exit 1"))
    assert outcome.error == "exit status 1"
    assert outcome.output.startswith("… ")
    assert outcome.output.endswith(" | 99999 | 100000")
    endless = await run(command(sys.executable, "-c", "import os\nfor _ in range(1600): os.write(1, b'x' * 65536)"))
    assert endless.error == "it was ended, because it wrote more than 4194304 bytes"
    assert len(endless.output) < 4100


async def test_nothing_is_left_of_a_hook_that_ended(command: Make) -> None:
    """What would have ended it is gone too, however quickly it ended."""
    runner = command("true", timeout=7654)
    for _ in range(20):
        assert (await run(runner)).error == ""
    await until_gone("7659")


async def test_two_hooks_over_one_session(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A host that allows only one session runs the hooks one after the other."""
    with SshServer(tmp_path_factory.mktemp("sshd"), MaxSessions=1) as sshd:
        hooks = tuple(Hook(name=name, run=("sleep", "0.3"), host="there") for name in ("a", "b", "c"))
        transport = SshTransport("127.0.0.1", sshd.settings(), 10.0)
        runner = HookRunner(Hooks(after_start=hooks), {"there": transport})
        outcomes = await asyncio.gather(*(runner.run(HookPoint.AfterStart, hook.name, RUN) for hook in hooks))
        assert outcomes == [HookOutcome()] * 3
        await runner.close()


async def test_abort_and_cancel(command: Make, tmp_path: Path) -> None:
    """`abort` lets `run` return at once and ends the program; so does cancelling."""
    mark = tmp_path / "mark"
    runner = command(sys.executable, "-c", f"{IGNORE}time.sleep(1000)", mark, timeout=100)
    for end in ("abort", "cancel"):
        hook = asyncio.create_task(run(runner))
        await until_there(mark)
        mark.unlink()
        assert runner.under_way == ("hook hv (after_start) of run 12",)
        before = time.monotonic()
        if end == "abort":
            runner.abort(HookPoint.AfterStart, "hv")
            assert await hook == HookOutcome("it was aborted")
        else:
            hook.cancel()
            with pytest.raises(asyncio.CancelledError):
                await hook
        assert time.monotonic() - before < 0.5, "it would run for 100 s"
        assert runner.under_way == ()
        await until_gone(mark)


async def test_programs_that_cannot_be_ended_are_counted(command: Make, tmp_path: Path) -> None:
    """Of one hook, only a few runs may be under way at the same time."""
    mark = tmp_path / "mark"
    runner = command(sys.executable, "-c", f"{IGNORE}time.sleep(1000)", mark, timeout=100)
    hooks = [asyncio.create_task(run(runner)) for _ in range(4)]
    await until(lambda: len(alive(mark)) == 4)
    assert await run(runner) == HookOutcome("4 earlier runs of it have not ended")
    await runner.close()
    runner.abort(HookPoint.AfterStart, "hv")
    await asyncio.gather(*hooks)
    await until_gone(mark)


async def test_the_loop_is_not_blocked(command: Make) -> None:
    """While a hook writes as fast as it can, the event loop keeps turning."""
    hook = asyncio.create_task(run(command("sh", "-c", "yes | head -c 4000000")))
    with Laps() as laps:
        while not hook.done():
            await laps.turn()
    assert hook.result().error == ""
    assert laps.longest < 0.5


HOLDER = """
import asyncio, pickle, sys
from ioc.hooks import HookRunner
from ioc.model import HookPoint
hooks, transport, record = pickle.loads(sys.stdin.buffer.read())
from ioc.hosts.local import LocalTransport
from ioc.hosts.ssh import SshTransport
made = SshTransport("127.0.0.1", transport, 10.0) if transport else LocalTransport()
asyncio.run(HookRunner(hooks, {"there": made}).run(HookPoint.AfterStart, "hv", record))
"""


@pytest.mark.parametrize("over_ssh", [False, True])
async def test_a_hook_ends_when_the_ioc_is_killed(shared_sshd: SshServer, tmp_path: Path, over_ssh: bool) -> None:
    """After kill -9 of the IOC nothing of a hook is left, on no machine."""
    mark = tmp_path / "mark"
    hook = Hook(name="hv", run=(sys.executable, "-c", f"{IGNORE}time.sleep(1000)", str(mark)), host="there", timeout=99)
    settings = shared_sshd.settings() if over_ssh else None
    ioc = subprocess.Popen([sys.executable, "-c", HOLDER], stdin=subprocess.PIPE)
    assert ioc.stdin is not None
    ioc.stdin.write(pickle.dumps((Hooks(after_start=(hook,)), settings, RUN)))
    ioc.stdin.close()
    await until_there(mark)
    ioc.kill()
    ioc.wait()
    await until_gone(mark)


async def test_a_program_is_ended_even_if_nobody_can_tell_it(tmp_path: Path) -> None:
    """The script itself ends a program after its limit: the network between may be cut."""
    mark = tmp_path / "mark"
    words = ("1", "{}", "0", sys.executable, "-c", f"{IGNORE}time.sleep(1000)", str(mark))
    program = LocalTransport().start(SCRIPT, [word.encode() for word in words])
    try:
        await until_there(mark)
        await until_gone(mark)
    finally:
        program.close()


async def test_a_host_that_dies_and_comes_back(tmp_path_factory: pytest.TempPathFactory) -> None:
    """A lost connection is the failure of the hook, at once; the next run of it connects again."""
    directory = tmp_path_factory.mktemp("sshd")
    with SshServer(directory) as sshd:
        transport = SshTransport("127.0.0.1", sshd.settings(), 2.0)
        mark = directory / "mark"
        hook = Hook(name="hv", run=("sh", "-c", f"[ -e {mark} ] || {{ touch {mark}; sleep 100; }}"), host="there")
        runner = HookRunner(Hooks(after_start=(hook,)), {"there": transport})
        under_way = asyncio.create_task(run(runner))
        await until_there(mark)
        sshd.stop()
        assert "the SSH connection to 127.0.0.1 was lost" in (await under_way).error
        assert "cannot be reached by SSH" in (await run(runner)).error
        sshd.start()
        deadline = time.monotonic() + PATIENCE
        while (outcome := await run(runner)).error:
            assert time.monotonic() < deadline, outcome
            await asyncio.sleep(0.1)
        await runner.close()


async def test_a_host_that_accepts_and_says_nothing() -> None:
    """The hook has failed at its own time-out, however long a connection may take."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Ssh(port=silent.getsockname()[1], config=None, unknown_hosts="add")
        hook = Hook(name="hv", run=("true",), host="there", timeout=0.5)
        runner = HookRunner(Hooks(after_start=(hook,)), {"there": SshTransport("127.0.0.1", settings, 60.0)})
        before = time.monotonic()
        assert await run(runner) == HookOutcome("it did not end within 0.5 s")
        assert time.monotonic() - before < 2, "a connection may take 60 s"
        await runner.close()


@pytest.mark.parametrize("shell", ["/bin/sh", "/bin/bash"])
@pytest.mark.parametrize("has_setsid", [True, False])
def test_the_script_in_other_shells(tmp_path: Path, shell: str, has_setsid: bool) -> None:
    """bash in place of dash, and without setsid, as on macOS: the same status, output and end of the children."""
    if not has_setsid and shell == "/bin/sh" and os.path.realpath(shell).endswith("dash"):
        pytest.skip("dash makes no process group without a terminal, but every Linux has setsid")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sleep", "cat", "printf", *(["setsid"] if has_setsid else [])):
        path = subprocess.run(["which", name], capture_output=True, text=True, check=True).stdout.strip()
        (tools / name).symlink_to(path)
    mark = tmp_path / "mark"
    script = f'cat; {sys.executable} -c "$0" {mark} & while [ ! -e {mark} ]; do sleep 0.01; done; exit 7'
    words = ("50", '{"a": 1}', "1", "X=1", shell, "-c", script, f"{IGNORE}time.sleep(1000)")
    environment = {"PATH": str(tools)}
    with subprocess.Popen([shell, "-s"], env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as done:
        assert done.stdin is not None
        assert done.stdout is not None
        try:
            done.stdin.write(fed_to_sh(SCRIPT, [word.encode() for word in words]))
            done.stdin.flush()
            assert done.wait(PATIENCE) == 7
        finally:
            done.kill()
        assert done.stdout.read() == b'{"a": 1}\n'
    deadline = time.monotonic() + PATIENCE
    while alive(mark):
        assert time.monotonic() < deadline
        time.sleep(0.02)
