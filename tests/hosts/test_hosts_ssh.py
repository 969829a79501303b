"""The SSH connection: keys, time-outs, coming back."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pathlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator

import asyncssh
import psutil
import pytest

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts import MachineHost
from ioc.hosts.ssh import SshTransport
from ioc.hosts.transport import Entry
from ioc.sim.ports import free_port
from ioc.topology.schema import Ssh
from tests.hosts.rig import Hosts, site
from tests.sshd import SshServer, make_key

DIRECTORY = "e18008/run_0012"


def fingerprint(key: pathlib.Path) -> str:
    return asyncssh.read_public_key(f"{key}.pub").get_fingerprint()


async def works(host: MachineHost) -> None:
    """Look at the host's router with success."""
    assert (await host.router_facts(DIRECTORY))["data0"].work_dir


async def until_it_works(host: MachineHost, seconds: float = 60.0) -> None:
    """Look until it succeeds."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return await works(host)
        except PeerError:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.05)


async def test_server_killed_and_back(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """While the server is away each look fails with the host's name; when it is back, so are the facts."""
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings())
    await works(host)
    sshd.stop()
    with pytest.raises(PeerError, match=r"127\.0\.0\.1"):
        await host.router_facts(DIRECTORY)
    with pytest.raises(PeerError, match="cannot be reached by SSH: Connection refused"):
        await host.router_facts(DIRECTORY)
    sshd.start()
    await until_it_works(host)


async def test_looks_in_vain_say_the_same(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """Looks at a host that is away fail at once and all with one text, which can be compared: no countdown."""
    sshd.stop()
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings())
    failures: set[str] = set()
    begin = time.monotonic()
    while time.monotonic() - begin < 3:
        with pytest.raises(PeerError) as failed:
            await host.router_facts(DIRECTORY)
        failures.add(str(failed.value))
    assert failures == {f"127.0.0.1 port {sshd.port} cannot be reached by SSH: Connection refused"}


async def test_attempts_to_log_in_are_spread(own_hosts: Hosts, tunnel: Tunnel, sshd: SshServer, tmp_path: pathlib.Path):
    """A login that is refused is tried less and less often: the host may lock out who tries too much."""
    make_key(tmp_path / "wrong")
    settings = sshd.settings(port=tunnel.port, key=str(tmp_path / "wrong"))
    host = own_hosts(site(work_dir=tmp_path), settings=settings)
    begin, failures = time.monotonic(), set[str]()
    while time.monotonic() - begin < 6:
        with pytest.raises(PeerError) as failed:
            await host.router_facts(DIRECTORY)
        failures.add(str(failed.value))
        await asyncio.sleep(0.02)
    assert len(failures) == 1
    assert tunnel.connections <= 5


async def test_a_host_that_was_cut_off_is_back_soon(
    own_hosts: Hosts, tunnel: Tunnel, sshd: SshServer, tmp_path: pathlib.Path
):
    """However long a host was away, it is looked at soon after its return (5 s; more on a busy test machine)."""
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(port=tunnel.port), ssh_timeout=4.0)
    await until_it_works(host)
    for away in (5.0, 15.0):
        tunnel.freeze()
        end = time.monotonic() + away
        while time.monotonic() < end:
            with pytest.raises(PeerError):
                await host.router_facts(DIRECTORY)
        tunnel.thaw()
        begin = time.monotonic()
        await until_it_works(host)
        assert time.monotonic() - begin < 12


@pytest.mark.parametrize("unknown_hosts", ["refuse", "add"])
async def test_changed_host_key_is_never_accepted(
    own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path, unknown_hosts: str
):
    """A host that shows another key than the one known is refused with both fingerprints, and the file stays."""
    old = fingerprint(sshd.host_key)
    sshd.stop()
    make_key(sshd.host_key)
    known = sshd.known_hosts.read_text()
    sshd.start()
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(unknown_hosts=unknown_hosts))
    with pytest.raises(PeerError) as refused:
        await host.router_facts(DIRECTORY)
    assert "has changed" in str(refused.value)
    assert f"ssh-ed25519 {fingerprint(sshd.host_key)}" in str(refused.value)
    assert f"ssh-ed25519 {old}" in str(refused.value)
    assert "ssh-keygen -R" in str(refused.value)
    assert sshd.known_hosts.read_text() == known


@pytest.mark.parametrize("before", [None, "", "other.host ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA"])
async def test_unknown_host_key_is_refused(
    own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path, before: str | None
):
    """A host that is not known is refused with type and fingerprint of its key, and not added."""
    sshd.known_hosts.unlink()
    if before is not None:
        sshd.known_hosts.write_text(before)
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings())
    with pytest.raises(PeerError) as refused:
        await host.router_facts(DIRECTORY)
    assert f"ssh-ed25519 {fingerprint(sshd.host_key)}" in str(refused.value)
    assert str(sshd.known_hosts) in str(refused.value)
    assert (sshd.known_hosts.read_text() if sshd.known_hosts.exists() else None) == before


async def test_unknown_host_key_is_added_where_allowed(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """`unknown_hosts: add` appends the key in OpenSSH's form, after which the host is known."""
    sshd.known_hosts.write_text("other.host ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA")
    for unknown_hosts in ("add", "refuse"):
        host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(unknown_hosts=unknown_hosts))
        await works(host)
    lines = sshd.known_hosts.read_text().splitlines()
    assert len(lines) == 2
    assert lines[1].startswith(f"[127.0.0.1]:{sshd.port} ssh-ed25519 ")


async def test_wrong_client_key(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """A login that is refused names user, host and the key that was tried."""
    wrong = tmp_path / "wrong"
    make_key(wrong)
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(key=str(wrong)))
    with pytest.raises(PeerError, match=rf"127.0.0.1 port {sshd.port} refuses the SSH login of user .*{wrong}"):
        await host.router_facts(DIRECTORY)


async def test_missing_client_key(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """A key of the topology that does not exist is named."""
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(key=str(tmp_path / "none")))
    with pytest.raises(PeerError, match=f"{tmp_path}/none .*must be a file that exists"):
        await host.router_facts(DIRECTORY)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (("-t", "ed25519", "-N", "secret"), "has a passphrase: put it into the SSH agent"),
        (("-t", "rsa", "-m", "PEM", "-N", "secret"), "has a passphrase: put it into the SSH agent"),
        ((), "must be a private key, but is none"),
    ],
    ids=["with a passphrase", "of an old form with a passphrase", "no key"],
)
async def test_a_client_key_that_cannot_be_used(
    own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path, kind: tuple[str, ...], told: str
):
    """The key is named and what is wrong with it, not an error of the library or of the host."""
    key = tmp_path / "key"
    if kind:
        subprocess.run(["ssh-keygen", "-q", *kind, "-f", key], check=True)
    else:
        key.write_bytes(b"\xff no key")
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(key=str(key)))
    with pytest.raises(PeerError, match=f"the SSH key {key} {told}"):
        await host.router_facts(DIRECTORY)


async def test_a_server_that_says_nothing(own_hosts: Hosts, tmp_path: pathlib.Path):
    """A connection that is accepted and stays silent ends within the time-out, and blocks no other host."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Ssh(port=silent.getsockname()[1], known_hosts=str(tmp_path / "known"), config=None)
        host = own_hosts(site(work_dir=tmp_path), settings=settings, ssh_timeout=0.5)
        begin = time.monotonic()
        with pytest.raises(PeerTimeout, match=r"does not speak SSH within 0\.5 s"):
            await host.router_facts(DIRECTORY)
        assert time.monotonic() - begin < 10


class Tunnel:
    """Forwards one port of 127.0.0.1 to another until it is frozen: then it holds everything back."""

    def __init__(self, target: int) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._target = target
        self._flowing = threading.Event()
        self._flowing.set()
        self._sockets: list[socket.socket] = []
        self.connections = 0
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def freeze(self) -> None:
        """Let nothing through any more."""
        self._flowing.clear()

    def thaw(self) -> None:
        """Let through what was held back."""
        self._flowing.set()

    def close(self) -> None:
        """End everything."""
        self._flowing.set()
        for each in (self._listener, *self._sockets):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
                far = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._sockets += [near, far]
            self.connections += 1
            for source, sink in ((near, far), (far, near)):
                self._threads.append(threading.Thread(target=self._pump, args=(source, sink)))
                self._threads[-1].start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._flowing.wait()
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)


@pytest.fixture
def tunnel(sshd: SshServer) -> Iterator[Tunnel]:
    """A tunnel to the SSH server, which is known under its port too."""
    tunnel = Tunnel(sshd.port)
    key = pathlib.Path(f"{sshd.host_key}.pub").read_text()
    sshd.known_hosts.write_text(f"[127.0.0.1]:{tunnel.port} {key}")
    yield tunnel
    tunnel.close()


async def test_a_line_that_freezes(own_hosts: Hosts, sshd: SshServer, tunnel: Tunnel, tmp_path: pathlib.Path):
    """On a connection that stops answering every call ends in bounded time, and works again when the line does."""
    (tmp_path / "log").write_text("hello")
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(port=tunnel.port), ssh_timeout=1.5)
    await until_it_works(host)
    assert await host.log_tail(str(tmp_path / "log")) == "hello"
    tunnel.freeze()
    begin = time.monotonic()
    outcomes = await asyncio.gather(
        host.router_facts(DIRECTORY), *(host.log_tail(str(tmp_path / "log")) for _ in range(6)), return_exceptions=True
    )
    assert all(isinstance(outcome, PeerError) for outcome in outcomes)
    assert time.monotonic() - begin < 15
    tunnel.thaw()
    await until_it_works(host)


def cut_sending(port: int) -> None:
    """End the sending half of our connection to a port: the next packet fails, while nothing shows that it is dead."""
    (mine,) = [each.fd for each in psutil.Process().net_connections("tcp") if each.raddr and each.raddr.port == port]
    with socket.socket(fileno=os.dup(mine)) as stream:
        stream.shutdown(socket.SHUT_WR)


def in_a_script(transport: SshTransport, file: pathlib.Path, cut: Callable[[], None]) -> None:
    """Cut while a script runs, which then seems to take too long."""
    runs = file.with_name("runs")

    def cut_when_it_runs() -> None:
        deadline = time.monotonic() + 30
        while not runs.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        cut()

    cutter = threading.Thread(target=cut_when_it_runs)
    cutter.start()
    try:
        transport.run('main() { : > "$1"; sleep 60; }', [bytes(runs)], 3.0)
    finally:
        cutter.join()


def in_a_file(transport: SshTransport, file: pathlib.Path, cut: Callable[[], None]) -> None:
    """Cut while a file is read, at its second piece."""
    pieces: list[bytes] = []

    def take(piece: bytes) -> None:
        pieces.append(piece)
        if len(pieces) == 2:
            cut()

    transport.read(bytes(file), file.stat().st_size, take)


def at_the_end_of_a_program(transport: SshTransport, _file: pathlib.Path, cut: Callable[[], None]) -> None:
    """Cut before a program is ended; the next command shows the loss."""
    program = transport.start("main() { sleep 60; }", [])
    cut()
    program.close()
    transport.run("main() { :; }", [], 1.0)


@pytest.mark.parametrize("cut_in", [in_a_script, in_a_file, at_the_end_of_a_program])
def test_a_connection_that_breaks_while_it_is_cleaned_up(
    cut_in: Callable[[SshTransport, pathlib.Path, Callable[[], None]], None],
    sshd: SshServer,
    tunnel: Tunnel,
    tmp_path: pathlib.Path,
):
    """Ending a session sends a packet; that it fails too does not hide the error of the host."""
    (tmp_path / "file").write_bytes(bytes(20_000_000))

    def cut() -> None:
        tunnel.freeze()
        cut_sending(tunnel.port)

    with contextlib.closing(SshTransport("127.0.0.1", sshd.settings(port=tunnel.port), 10.0)) as transport:
        transport.check_files()
        with pytest.raises(PeerError, match=r"127\.0\.0\.1"):
            cut_in(transport, tmp_path / "file", cut)
    tunnel.thaw()


async def test_close_ends_calls_that_hang(own_hosts: Hosts, sshd: SshServer, tunnel: Tunnel, tmp_path: pathlib.Path):
    """Closing does not wait for a host that does not answer."""
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(port=tunnel.port), ssh_timeout=60.0)
    await works(host)
    tunnel.freeze()
    hanging = asyncio.ensure_future(host.router_facts(DIRECTORY))
    await asyncio.sleep(0.1)
    begin = time.monotonic()
    await host.close()
    assert time.monotonic() - begin < 15
    with pytest.raises(PeerError):
        await hanging
    with pytest.raises(PeerError, match="closing"):
        await host.router_facts(DIRECTORY)


async def test_a_dead_host_delays_no_other(own_hosts: Hosts, tmp_path: pathlib.Path):
    """While one host does not answer, another is looked at."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings = Ssh(port=silent.getsockname()[1], known_hosts=str(tmp_path / "known"), config=None)
        dead = own_hosts(site(work_dir=tmp_path), settings=settings, ssh_timeout=60.0)
        alive = own_hosts(site(work_dir=tmp_path))
        waiting = asyncio.ensure_future(dead.router_facts(DIRECTORY))
        for _ in range(3):
            await works(alive)
        assert not waiting.done()
        await dead.close()
        own_hosts.made.remove(dead)
        with pytest.raises(PeerError):
            await waiting


async def test_slow_scripts_do_not_end_the_connection(
    own_hosts: Hosts, sshd: SshServer, tunnel: Tunnel, tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
):
    """A look that hangs on the host times out, and the next one uses the same connection."""
    host = own_hosts(site(work_dir=tmp_path), settings=sshd.settings(port=tunnel.port), ssh_timeout=8.0)
    await until_it_works(host)
    before = tunnel.connections
    with monkeypatch.context() as patch:
        patch.setattr("ioc.hosts.look.SCRIPT", "main() { sleep 20; }")
        with pytest.raises(PeerTimeout, match="did not end within 8 s"):
            await host.router_facts(DIRECTORY)
    await works(host)
    assert tunnel.connections == before


class Stuck(SshTransport):
    """A real connection on which a directory is not listed before it is `released`."""

    def __init__(self, sshd: SshServer, port: int) -> None:
        super().__init__(sshd.address, sshd.settings(port=port), 10.0)
        self.released = threading.Event()

    def list_directory(self, directory: bytes) -> list[Entry]:
        entries = super().list_directory(directory)
        self.released.wait()
        return entries


async def test_work_in_the_background_that_hangs_costs_only_its_own_connection(
    own_hosts: Hosts, sshd: SshServer, tunnel: Tunnel, tmp_path: pathlib.Path
):
    """A call in the background that takes too long ends the connection that it used, and not that of the looks."""
    with contextlib.closing(Tunnel(sshd.port)) as beside:
        for port in (sshd.port, beside.port):
            with sshd.known_hosts.open("a") as known:
                known.write(f"[127.0.0.1]:{port} {pathlib.Path(f'{sshd.host_key}.pub').read_text()}")
        aside = Stuck(sshd, beside.port)
        host = own_hosts(
            site(work_dir=tmp_path), settings=sshd.settings(port=tunnel.port), aside=aside, ssh_timeout=5.0
        )
        await until_it_works(host)
        before = tunnel.connections
        try:
            listing = asyncio.ensure_future(host.inventory([str(tmp_path)]))
            with pytest.raises(PeerTimeout, match="did not answer within 10"):
                await listing
        finally:
            aside.released.set()
        await works(host)
        assert tunnel.connections == before
        assert str(tmp_path) in await host.inventory([str(tmp_path)])
        assert beside.connections == 2


def through_config(sshd: SshServer, directory: pathlib.Path, text: str) -> Ssh:
    """Return settings that leave everything to an SSH configuration file."""
    config = directory / "ssh_config"
    config.write_text(text)
    return Ssh(known_hosts=str(sshd.known_hosts), config=str(config))


async def test_ssh_config_gives_host_port_user_and_key(own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path):
    """Host, HostName, Port, User and IdentityFile of ~/.ssh/config hold for a name of the topology."""
    user = sshd.settings().username
    settings = through_config(
        sshd,
        tmp_path,
        f"Host mini*\n  HostName 127.0.0.1\n  Port {sshd.port}\n  User {user}\n"
        f"  IdentityFile {tmp_path}/none\n  IdentityFile {sshd.client_key}\n",
    )
    host = own_hosts(site(work_dir=tmp_path), settings=settings, address="mini3")
    await works(host)
    assert host.name == "mini3"


async def test_proxy_jump(
    own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path, tmp_path_factory: pytest.TempPathFactory
):
    """A host behind another is reached through it, and both keys are checked."""
    with SshServer(tmp_path_factory.mktemp("behind")) as behind:
        behind.let_in(sshd)
        sshd.known_hosts.write_text(sshd.known_hosts.read_text() + behind.known_hosts.read_text())
        user = sshd.settings().username
        settings = through_config(
            sshd,
            tmp_path,
            f"Host gate\n  HostName 127.0.0.1\n  Port {sshd.port}\n"
            f"Host *\n  User {user}\n  IdentityFile {sshd.client_key}\n"
            f"Host inside\n  HostName 127.0.0.1\n  Port {behind.port}\n  ProxyJump {user}@gate\n",
        )
        host = own_hosts(site(work_dir=tmp_path), settings=settings, address="inside")
        await works(host)
        sshd.known_hosts.write_text(behind.known_hosts.read_text())
        host = own_hosts(site(work_dir=tmp_path), settings=settings, address="inside")
        with pytest.raises(PeerError, match=rf"\[127.0.0.1\]:{sshd.port} .*is not in"):
            await host.router_facts(DIRECTORY)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("Host *\n  ProxyCommand nc %h %p\n", "ProxyCommand"),
        ("Host *\n  Port many\n", "ssh_config line 2: Bad port 'many'"),
        ("Host *\n  Match\n", "ssh_config cannot be used"),
    ],
)
async def test_ssh_config_that_cannot_be_used(
    own_hosts: Hosts, sshd: SshServer, tmp_path: pathlib.Path, text: str, problem: str
):
    """What cannot be used of ~/.ssh/config is named with the file."""
    host = own_hosts(site(work_dir=tmp_path), settings=through_config(sshd, tmp_path, text), address="mini3")
    with pytest.raises(PeerError, match=problem):
        await host.router_facts(DIRECTORY)


async def test_nothing_listens(own_hosts: Hosts, tmp_path: pathlib.Path):
    """A host that refuses connections is named with its port."""
    port = free_port()
    settings = Ssh(port=port, known_hosts=str(tmp_path / "known"), config=None)
    host = own_hosts(site(work_dir=tmp_path), settings=settings)
    with pytest.raises(PeerError, match=f"127.0.0.1 port {port} cannot be reached by SSH: Connection refused"):
        await host.log_tail("/var/log/none")
