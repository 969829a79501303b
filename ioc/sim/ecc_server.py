"""One simulated ECC server on a TCP port of this machine.

As with the real one, a connection carries one request and one reply. `EccServer` parses the request, consults the state
`Machine`, performs the step (reads configuration files, makes links), waits as long as the real step takes, updates the
electronics, and replies. Faults are switches that it checks on the way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from time import strftime

from ioc.sim import ecc_wire
from ioc.sim.configs import (
    KINDS,
    ConfigDirectory,
    InvalidUrlError,
    MissingConfigError,
    ServerCrashError,
    config_id_text,
    parse_config_id,
)
from ioc.sim.ecc_state import OPERATIONS, Machine, State
from ioc.sim.ecc_wire import Behaviour, Link
from ioc.sim.electronics import Electronics, LinkError, Links, reset_connection
from ioc.sim.plan import EccAddress, ServerPlan, SimulatorError
from ioc.sim.ports import free_port

BUSY = "The ECC state machine is busy!"
_READ_ONLY = ("GetState", "GetConfigIDs", "Special", "ServerExit")
_NO_HARDWARE = "Ice exception: ::Ice::ConnectionRefusedException:\nconnection refused: Connection refused"
_WITHOUT_HARDWARE = {
    "Describe": f"Could not connect to a node. {_NO_HARDWARE}",
    "Prepare": _NO_HARDWARE,
    "Configure": _NO_HARDWARE,
    "Start": "Could not start run (Ice::ConnectionRefusedException)",
    "Breakup": _NO_HARDWARE,
}
"""How an operation that needs the electronics fails; the others do not notice that they are dead."""
_MAX_REQUEST = 1 << 20
_SLOW_SECONDS = 0.05


class StepError(Exception):
    """An operation failed; the text becomes the ErrorMessage."""


class EccServer:
    """Listens, answers, follows the state machine, and misbehaves on command."""

    def __init__(
        self, plan: ServerPlan, configs: ConfigDirectory, electronics: Electronics, log_path: Path, speed: float
    ) -> None:
        self.electronics = electronics
        self._plan = plan
        self._configs = configs
        self._dialect = ecc_wire.DIALECTS[plan.dialect]
        self._log_path = log_path
        self._speed = speed
        self._port = free_port()
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._behaviour = Behaviour.NORMAL
        self._released = asyncio.Event()
        self._thawed = asyncio.Event()
        self._forget()

    def _forget(self) -> None:
        """Start like a new process, without memory and faults."""
        self.machine = Machine()
        self._failures: dict[str, str] = {}
        self._delays: dict[str, float] = {}
        self._complaint = ""
        self._links: tuple[Link, ...] = ()
        self._loaded: dict[str, str] = {}
        """Names of the configuration files that were read, by kind."""
        self.behave(Behaviour.NORMAL)
        self.thaw()

    @property
    def address(self) -> EccAddress:
        return EccAddress(self._port, str(self._log_path))

    def status(self) -> dict[str, int]:
        """Its state, for the command ``status``."""
        return {
            "listening": self._listener is not None,
            "frozen": not self._thawed.is_set(),
            "state": self.machine.state,
            "transition": self.machine.transition,
            "connections": len(self._connections),
        }

    async def start(self) -> None:
        """Listen, always on the same port; the state is Idle."""
        if self._listener:
            raise SimulatorError(f"simulated ECC server {self._plan.name} runs already; kill it first")
        self._forget()
        self.electronics.dead = False
        self.electronics.follow(self.machine.state)
        await self.electronics.links_closed()
        self._listener = await asyncio.start_server(self._accept, self._plan.host, self._port, limit=_MAX_REQUEST)
        self._log(f"listening on port {self._port}")

    async def kill(self, links: Links = Links.STAY) -> None:
        """Die like a killed process: connections end without a byte, new ones are refused, the boards continue."""
        connections = list(self._connections)
        self._die(links)
        await asyncio.gather(*connections, return_exceptions=True)
        await self.electronics.links_closed()

    async def close(self) -> None:
        await self.kill(Links.END)

    def behave(self, behaviour: Behaviour) -> None:
        """Treat every connection like this from now on."""
        self._behaviour = behaviour
        self._released.set()
        self._released = asyncio.Event()

    def freeze(self) -> None:
        """Stop as after SIGSTOP: the system accepts connections, but nothing answers; the sources continue."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Continue as after SIGCONT, with the interrupted work and all requests received meanwhile."""
        self._thawed.set()

    def fail_next(self, operation: str, message: str) -> None:
        """Let the next operation of this kind fail with this message."""
        self._failures[_known(operation, [*OPERATIONS, "GetConfigIDs"])] = message

    def complain(self, message: str) -> None:
        """Let the next Configure succeed but answer with its error code and this message."""
        self._complaint = message

    def delay(self, operation: str, seconds: float) -> None:
        """Let every operation of this kind take longer by real seconds; 0 ends it."""
        self._delays[_known(operation, [*OPERATIONS, *_READ_ONLY])] = seconds

    def force_state(self, state: State) -> None:
        """Change the state as another client, or a fault of the electronics, would."""
        self.machine.force(state)
        self.electronics.follow(state)

    def _die(self, links: Links = Links.STAY) -> None:
        self._stop_listening("ended")
        self.electronics.leave(links)
        current = asyncio.current_task()
        for task, writer in self._connections.items():
            writer.transport.abort()  # unsent data are lost with the process
            if task is not current:
                task.cancel()

    def _stop_listening(self, why: str) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None
            self._log(why)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._connections[task] = writer
        task.add_done_callback(self._connections.pop)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            body = await _read_request(reader)
            await self._thawed.wait()
            while self._behaviour is Behaviour.HANG:
                await self._released.wait()
            behaviour = self._behaviour
            if behaviour is Behaviour.RESET:
                reset_connection(writer.transport)
            elif behaviour is not Behaviour.DROP:
                reply = await self._answer(body)
                await self._thawed.wait()
                await self._send(behaviour, reply, writer)
        except ServerCrashError as crash:
            self._log(f"killed: {crash}")
            self._die()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client disconnected or does not speak HTTP
        finally:
            writer.close()

    async def _send(self, behaviour: Behaviour, reply: bytes, writer: asyncio.StreamWriter) -> None:
        if behaviour is not Behaviour.SLOW:
            writer.write(self._dialect.wrong_reply(behaviour, reply))
            await writer.drain()
            return
        for byte in reply:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(_SLOW_SECONDS)

    async def _answer(self, body: bytes) -> bytes:
        dialect = self._dialect
        try:
            operation, arguments = dialect.parse_request(body)
            if operation in OPERATIONS:
                return await self._transition(operation, arguments)
            await asyncio.sleep(self._delays.get(operation, 0.0))
            match operation:
                case "GetState":
                    message = BUSY if self.machine.transition else ""
                    return dialect.state_reply(message, self.machine.state, self.machine.transition)
                case "GetConfigIDs":
                    failure = self._failures.pop(operation, "")
                    text = "" if failure else self._configs.list_text()
                    return dialect.text_reply(1 if failure else 0, failure, text)
                case "Special":
                    return dialect.text_reply(0, "", "")
                case "ServerExit":
                    self._stop_listening("ended by ServerExit")
                    return dialect.plain_reply()
                case _:
                    raise ecc_wire.not_implemented(operation)
        except ecc_wire.FaultError as fault:
            return dialect.fault_reply(str(fault))

    async def _transition(self, name: str, arguments: dict[str, str]) -> bytes:
        config = parse_config_id(arguments.get("configID", ""))
        number = OPERATIONS[name].number
        if self.machine.transition:
            return self._dialect.text_reply(number, BUSY, "")
        if self.machine.begin(name):
            self._log(f"{name} {config_id_text(config)}")
            try:
                await self._perform(name, config, arguments.get("table", ""))
            except (StepError, LinkError) as failure:
                self.machine.finish(succeeded=False)
                if name == "Breakup":
                    self.force_state(State.OFF)
                    await self.electronics.links_closed()
                self._log(f"{name} failed: {failure}")
                return self._dialect.text_reply(number, str(failure), "")
            self.electronics.follow(self.machine.target)
            await self.electronics.links_closed()
            self.machine.finish(succeeded=True)
        message, text = self._result(name)
        return self._dialect.text_reply(number if message else 0, message, text)

    async def _perform(self, name: str, config: dict[str, str], table: str) -> None:
        """Perform the work of the transition beyond the change of state, in real time."""
        if name == "Resume" and not self._plan.supports_resume:
            raise ServerCrashError("this release crashes on Resume")
        if name.lower() in KINDS:
            self._read_config(name.lower(), config)
        if name in _WITHOUT_HARDWARE and self.electronics.dead:
            raise StepError(_WITHOUT_HARDWARE[name])
        await asyncio.sleep(OPERATIONS[name].seconds / self._speed + self._delays.get(name, 0.0))
        await self._thawed.wait()
        if name in self._failures:
            raise StepError(self._failures.pop(name))
        match name:
            case "Configure":
                await self._connect(table)
            case "Start" | "Resume":
                await self.electronics.begin()
            case "Breakup" if self.machine.state is State.OFF:
                raise StepError(_NO_HARDWARE)
            case _:
                pass

    def _read_config(self, kind: str, config: dict[str, str]) -> None:
        if not config.keys() >= set(KINDS):
            raise StepError(f"Configuration identifier '{config_id_text(config)}' is not valid.")
        try:
            self._configs.files(kind, config[kind])
        except MissingConfigError as missing:
            raise StepError(f"Exception: Configuration '{missing}' does not exist.") from None
        except InvalidUrlError as invalid:
            raise StepError(f"Exception: {invalid}") from None
        self._loaded[kind] = config[kind]

    async def _connect(self, table: str) -> None:
        """Make the first link of each source in the document; the others are silently ignored."""
        first: dict[str, Link] = {}
        for link in ecc_wire.parse_links(table):
            first.setdefault(link.source, link)
        self._links = tuple(first[source] for source in self._plan.sources if source in first)
        for source in self._plan.sources:
            if source not in first:
                raise StepError(f"Could not find a valid data router for data sender '{source}'")
        await self.electronics.connect(first)

    def _result(self, name: str) -> tuple[str, str]:
        """Error message and text of the reply to a successful or an ignored operation."""
        if name == "Describe":
            return "", ecc_wire.sources_text(self._plan.sources)
        if name != "Configure":
            return "", ""
        links = f"{ecc_wire.links_text(self._links)}\n"
        complaint, self._complaint = self._complaint, ""
        if complaint:
            return complaint, links
        try:
            return "", links + self._configs.contents_text(self._loaded)
        except MissingConfigError as missing:
            return f"Configuration '{missing}' does not exist.", links

    def _log(self, text: str) -> None:
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(f"{strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def _known(operation: str, operations: Collection[str]) -> str:
    if operation not in operations:
        raise SimulatorError(f"operation is {operation!r}, but must be one of {', '.join(operations)}")
    return operation


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    """Body of one HTTP request; path, SOAPAction and Content-Type do not matter."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    length = 0
    for line in head.split("\r\n")[1:]:
        name, _, value = line.partition(":")
        if name.strip().lower() == "content-length" and value.strip().isdecimal():
            length = min(int(value), _MAX_REQUEST)
    return await reader.readexactly(length)
