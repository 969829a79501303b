"""One simulated ECC server on a TCP port of this machine."""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from pathlib import Path
from time import strftime

from ioc.errors import Refused
from ioc.sim import ecc_wire
from ioc.sim.ecc_arguments import ConfigDirectory, ConfigId, ServerCrashError, parse_config_id
from ioc.sim.ecc_state import DURATION, TRANSITION, Machine, State, Verdict
from ioc.sim.ecc_steps import StepError, Steps
from ioc.sim.electronics import Electronics, Links
from ioc.sim.misbehaviour import Behaviour, misbehave
from ioc.sim.plan import EccAddress, ServerPlan

BUSY = "The ECC state machine is busy!"
_READ_ONLY = frozenset({"GetState", "GetConfigIDs", "Special", "ServerExit"})
_MAX_REQUEST = 1 << 20


class EccServer:
    """Listens, answers, obeys the state machine, and misbehaves when told to."""

    def __init__(
        self, plan: ServerPlan, configs: ConfigDirectory, electronics: Electronics, log_path: Path, speed: float
    ) -> None:
        self.machine = Machine()
        self.electronics = electronics
        self._plan = plan
        self._dialect = ecc_wire.DIALECTS[plan.dialect]
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
        self._steps = Steps(plan.sources, configs, electronics)

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
        self._steps.forget()
        self.behave(Behaviour.NORMAL)
        self.thaw()
        self.electronics.dead = False
        self.electronics.follow(self.machine.state)
        await self.electronics.parted()
        self._listener = await asyncio.start_server(self._accept, self._plan.host, self._port, limit=_MAX_REQUEST)
        self._port = self._listener.sockets[0].getsockname()[1]
        self._log(f"listening on port {self._port}")

    async def kill(self, links: Links = Links.STAY) -> None:
        """Die as the process would: connections end without a byte, new ones are refused, the boards go on."""
        connections = list(self._connections)
        self._die(links)
        await asyncio.gather(*connections, return_exceptions=True)
        await self.electronics.parted()

    async def close(self) -> None:
        """Kill it, and its electronics too."""
        await self.kill(Links.END)
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

    def complain(self, message: str) -> None:
        """Let the next Configure answer its error code and this message although it is done."""
        self._steps.complaint = message

    def delay(self, operation: str, seconds: float) -> None:
        """Let every operation of this kind take longer by real seconds; 0 ends it."""
        self._delays[_known(operation, [*TRANSITION, *_READ_ONLY])] = seconds

    def force_state(self, state: State) -> None:
        """Change the state as another client, or a fault of the electronics, would."""
        self.machine.force(state)
        self.electronics.follow(state)

    def break_electronics(self) -> None:
        """No data any more; the state stays until Breakup finds out and leaves it Off."""
        self.electronics.break_down()

    def _die(self, links: Links = Links.STAY) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None
            self._log("ended")
        self.electronics.leave(links)
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
                    text = "" if failure else self._steps.configs.list_text()
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
                return self._done(operation)
            case Verdict.BEGUN:
                pass
        self._log(f"{operation} {config}")
        try:
            await self._perform(operation, config, arguments.get("table", ""))
        except StepError as failure:
            self.machine.finish(succeeded=False)
            if operation == "Breakup":
                self.force_state(State.OFF)
                await self.electronics.parted()
            self._log(f"{operation} failed: {failure}")
            return ecc_wire.text_reply(self._dialect, number, str(failure), "")
        self.electronics.follow(self.machine.target)
        await self.electronics.parted()
        self.machine.finish(succeeded=True)
        return self._done(operation)

    async def _perform(self, operation: str, config: ConfigId, table: str) -> None:
        if operation == "Resume" and not self._plan.supports_resume:
            raise ServerCrashError("this release crashes on Resume")
        self._steps.load(operation, config)
        await asyncio.sleep(DURATION[operation] / self._speed + self._delays.get(operation, 0.0))
        await self._thawed.wait()
        if operation in self._failures:
            raise StepError(self._failures.pop(operation))
        await self._steps.perform(operation, self.machine.state, table)

    def _done(self, operation: str) -> bytes:
        message, text = self._steps.answer(operation)
        return ecc_wire.text_reply(self._dialect, TRANSITION[operation] if message else 0, message, text)

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
