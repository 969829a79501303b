"""One simulated ECC server on a TCP port of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from time import strftime

from ioc.errors import Refused
from ioc.sim import ecc_wire
from ioc.sim.ecc_arguments import (
    ConfigDirectory,
    ConfigId,
    Link,
    MissingConfigError,
    ServerCrashError,
    links_text,
    parse_config_id,
    parse_links,
    sources_text,
)
from ioc.sim.ecc_state import DURATION, TRANSITION, Machine, State, Verdict
from ioc.sim.electronics import Electronics, LinkError
from ioc.sim.misbehaviour import Behaviour, misbehave
from ioc.sim.plan import EccAddress, ServerPlan

BUSY = "The ECC state machine is busy!"
_CONFIG_KIND = {"Describe": "describe", "Prepare": "prepare", "Configure": "configure"}
_READ_ONLY = frozenset({"GetState", "GetConfigIDs", "Special", "ServerExit"})
_MAX_REQUEST = 1 << 20


class _TransitionError(Exception):
    """The electronics refused; the text becomes the ErrorMessage."""


class EccServer:
    """Listens, answers, obeys the state machine, and misbehaves when told to."""

    def __init__(
        self, plan: ServerPlan, configs: ConfigDirectory, electronics: Electronics, log_path: Path, speed: float
    ) -> None:
        self.machine = Machine()
        self.electronics = electronics
        self._plan = plan
        self._dialect = ecc_wire.DIALECTS[plan.dialect]
        self._configs = configs
        self._log_path = log_path
        self._speed = speed
        self._port = 0
        self._listener: asyncio.Server | None = None
        self._connections: dict[asyncio.Task[None], asyncio.StreamWriter] = {}
        self._behaviour = Behaviour.NORMAL
        self._released = asyncio.Event()
        self._thawed = asyncio.Event()
        self._failures: dict[str, str] = {}
        self._delays: dict[str, float] = {}

    @property
    def address(self) -> EccAddress:
        return EccAddress(self._port, str(self._log_path))

    @property
    def listening(self) -> bool:
        return self._listener is not None

    @property
    def frozen(self) -> bool:
        return not self._thawed.is_set()

    async def start(self) -> None:
        """Listen: on a free port at first, on the same one after that; the state is Idle."""
        if self._listener:
            raise Refused(f"simulated ECC server {self._plan.name} runs already; kill it first")
        self.machine = Machine()
        self._failures.clear()
        self._delays.clear()
        self.behave(Behaviour.NORMAL)
        self.thaw()
        self.electronics.dead = False
        self.electronics.follow(self.machine.state)
        await self.electronics.parted()
        self._listener = await asyncio.start_server(self._accept, self._plan.host, self._port, limit=_MAX_REQUEST)
        self._port = self._listener.sockets[0].getsockname()[1]
        self._log(f"listening on port {self._port}")

    async def kill(self, *, links_stay: bool = False) -> None:
        """Die as the process would: connections end without a byte, new ones are refused.

        Its links are dropped, or stay with all that flows over them until another Configure.
        """
        connections = list(self._connections)
        self.electronics.abandoned |= links_stay
        self._die()
        await asyncio.gather(*connections, return_exceptions=True)
        await self.electronics.parted()

    async def close(self) -> None:
        """Kill it, and its electronics too."""
        await self.kill()
        await self.electronics.close()

    def behave(self, behaviour: Behaviour) -> None:
        """Treat every connection like this from now on."""
        self._behaviour = behaviour
        self._released.set()
        self._released = asyncio.Event()

    def freeze(self) -> None:
        """Do nothing any more, as after SIGSTOP: the system takes connections, nobody answers; the sources go on."""
        self._thawed.clear()

    def thaw(self) -> None:
        """Go on as after SIGCONT: with what was under way, and with all that was asked meanwhile."""
        self._thawed.set()

    def fail_next(self, operation: str, message: str) -> None:
        """Let the next operation of this kind fail with this message."""
        self._failures[_known(operation, [*TRANSITION, "GetConfigIDs"])] = message

    def delay(self, operation: str, seconds: float) -> None:
        """Let every operation of this kind take longer by real seconds; 0 ends it."""
        self._delays[_known(operation, [*TRANSITION, *_READ_ONLY])] = seconds

    def force_state(self, state: State) -> None:
        """Change the state as another client, or a fault of the electronics, would."""
        self.machine.force(state)
        self.electronics.follow(state)

    def break_electronics(self) -> None:
        """No data any more; the state stays until Breakup finds out and leaves it Off."""
        self.electronics.dead, self.electronics.abandoned = True, False
        self.electronics.follow(self.machine.state)

    def _die(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None
            self._log("ended")
        if not self.electronics.abandoned:
            self.electronics.drop()
        current = asyncio.current_task()
        for task, writer in self._connections.items():
            writer.transport.abort()  # what was not sent yet is lost with the process
            if task is not current:
                task.cancel()

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
            if behaviour in {Behaviour.DROP, Behaviour.RESET}:
                await misbehave(behaviour, self._dialect, b"", writer)
                return
            reply = await self._answer(body)
            await self._thawed.wait()
            if behaviour is Behaviour.NORMAL:
                writer.write(reply)
            else:
                await misbehave(behaviour, self._dialect, reply, writer)
            await writer.drain()
        except ServerCrashError as crash:
            self._log(f"killed: {crash}")
            self._die()
        except (OSError, EOFError, asyncio.LimitOverrunError):
            pass  # the client went away or does not speak HTTP
        finally:
            writer.close()

    async def _answer(self, body: bytes) -> bytes:
        try:
            request = ecc_wire.parse_request(body, self._dialect)
            if request.operation in TRANSITION:
                return await self._transition(request.operation, request.arguments)
            await asyncio.sleep(self._delays.get(request.operation, 0.0))
            match request.operation:
                case "GetState":
                    message = BUSY if self.machine.transition else ""
                    return ecc_wire.state_reply(self._dialect, message, self.machine.state, self.machine.transition)
                case "GetConfigIDs":
                    failure = self._failures.pop(request.operation, "")
                    text = "" if failure else self._configs.list_text()
                    return ecc_wire.text_reply(self._dialect, 1 if failure else 0, failure, text)
                case "Special":
                    return ecc_wire.text_reply(self._dialect, 0, "", "")
                case "ServerExit":
                    self._exit()
                    return ecc_wire.plain_reply(self._dialect)
                case _:
                    raise ecc_wire.not_implemented(request.operation)
        except ecc_wire.FaultError as fault:
            return ecc_wire.fault_reply(self._dialect, str(fault))

    async def _transition(self, operation: str, arguments: dict[str, str]) -> bytes:
        config = parse_config_id(arguments.get("configID", ""))
        number = TRANSITION[operation]
        match self.machine.begin(operation):
            case Verdict.BUSY:
                return ecc_wire.text_reply(self._dialect, number, BUSY, "")
            case Verdict.IGNORED:
                return ecc_wire.text_reply(self._dialect, 0, "", "")
            case Verdict.BEGUN:
                pass
        self._log(f"{operation} {config}")
        try:
            text = await self._perform(operation, config, parse_links(arguments.get("table", "")))
        except _TransitionError as failure:
            self.machine.finish(succeeded=False)
            if self.electronics.dead:
                self.force_state(State.OFF)
            self._log(f"{operation} failed: {failure}")
            return ecc_wire.text_reply(self._dialect, number, str(failure), "")
        self.machine.finish(succeeded=True)
        self.electronics.follow(self.machine.state)
        return ecc_wire.text_reply(self._dialect, 0, "", text)

    async def _perform(self, operation: str, config: ConfigId, links: tuple[Link, ...]) -> str:
        if operation == "Resume" and not self._plan.supports_resume:
            raise ServerCrashError("this release crashes on Resume")
        if operation in _CONFIG_KIND:
            self._check_config(_CONFIG_KIND[operation], config)
        await asyncio.sleep(DURATION[operation] / self._speed + self._delays.get(operation, 0.0))
        await self._thawed.wait()
        if operation in self._failures:
            raise _TransitionError(self._failures.pop(operation))
        if operation == "Breakup" and self.electronics.dead:
            raise _TransitionError("Connection to HW node lost:\nthe node does not answer")
        if operation == "Breakup":
            self.electronics.drop()
            await self.electronics.parted()
        if operation == "Describe":
            return sources_text(self._plan.sources)
        if operation == "Configure":
            used = tuple(link for link in links if link.source in self._plan.sources)
            await self._connect(used)
            return f"{links_text(used)}\n{self._configs.contents_text(config)}"
        return ""

    def _check_config(self, kind: str, config: ConfigId) -> None:
        if not config.complete:
            raise _TransitionError(f"Configuration identifier '{config}' is not valid.")
        try:
            self._configs.files(kind, config.names[kind])
        except MissingConfigError as missing:
            raise _TransitionError(f"Exception: Configuration '{missing}' does not exist.") from None

    async def _connect(self, links: tuple[Link, ...]) -> None:
        linked = {link.source for link in links}
        for source in self._plan.sources:
            if source not in linked:
                raise _TransitionError(f"Could not find a valid data router for data sender '{source}'")
        try:
            await self.electronics.connect(links)
        except LinkError as error:
            raise _TransitionError(str(error)) from None

    def _exit(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None
            self._log("ended by ServerExit")

    def _log(self, text: str) -> None:
        with self._log_path.open("a", encoding="utf-8") as log:
            log.write(f"{strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


def _known(operation: str, operations: Collection[str]) -> str:
    if operation not in operations:
        raise Refused(f"operation is {operation!r}, but must be one of {', '.join(operations)}")
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
