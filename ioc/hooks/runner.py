"""Runs the hooks of a topology.

Theory of operation. Each hook that is under way is a task, which its caller or `abort` may cancel. A POST runs in it; a
program needs a thread, because SSH blocks. The task waits for the thread no longer than the hook's time-out; then it
tells the thread to end the program and leaves it: ending may take seconds, for which no run waits. The few threads that
a hook may have are counted, so that one whose programs cannot be ended is not started again and again.
"""

from __future__ import annotations

import asyncio
import base64
import logging
from collections import defaultdict
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import unquote, urlsplit

from ioc.errors import PeerError
from ioc.hooks.command import MOST_BYTES, Command, harmless
from ioc.hooks.document import document, variables
from ioc.hosts.transport import Transport
from ioc.http_request import NoAnswerError, reason, request
from ioc.model import HookOutcome, HookPoint, RunId, RunRecord
from ioc.topology.schema import Hook, Hooks

log = logging.getLogger(__name__)

_MOST = 4
"""So many runs of one hook may be under way at the same time."""
_END_SECONDS = 4.0

_Key = tuple[HookPoint, str]


def _told_of(key: _Key, run: RunId) -> str:
    point, name = key
    return f"hook {name} ({point}) of run {run.number}"


def _server(url: str) -> str:
    """Return the server of a URL for messages. User, password, path and query may be secrets."""
    parts = urlsplit(url)
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    return f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")


class HookRunner:
    """`ioc.ports.HookRunner` for the hooks of a topology. Belongs to the event loop."""

    def __init__(self, hooks: Hooks, transports: Mapping[str, Transport]) -> None:
        """`transports` has the machine of each `host`, and nobody else uses them."""
        self._hooks: dict[_Key, Hook] = {(point, hook.name): hook for point in HookPoint for hook in hooks.at(point)}
        self._transports = transports
        self._threads = ThreadPoolExecutor(max(1, _MOST * len(self._hooks)), thread_name_prefix="hook")
        self._resolver = ThreadPoolExecutor(_MOST, thread_name_prefix="hook-resolver")
        self._tasks: defaultdict[_Key, dict[asyncio.Task[HookOutcome], RunId]] = defaultdict(dict)
        self._commands: dict[asyncio.Future[int], tuple[_Key, Command]] = {}
        """Each thread under way."""

    async def run(self, point: HookPoint, name: str, record: RunRecord) -> HookOutcome:
        """See `ioc.ports.HookRunner`."""
        key = (point, name)
        hook, told = self._hooks[key], document(point, name, record)
        task = asyncio.create_task(self._command(key, hook, told) if hook.post is None else self._post(hook, told))
        self._tasks[key][task] = record.run
        try:
            await asyncio.wait((task,))
        except asyncio.CancelledError:
            about = {"run": None if point is HookPoint.BeforeStart else record.run}  # that run does not exist yet
            log.warning("%s was ended: the IOC stops or restarts", _told_of(key, record.run), extra=about)
            raise
        finally:
            task.cancel()
            del self._tasks[key][task]
        return HookOutcome("it was aborted") if task.cancelled() else task.result()

    @property
    def under_way(self) -> tuple[str, ...]:
        """The hooks under way, each with its run."""
        return tuple(_told_of(key, run) for key, tasks in self._tasks.items() for run in tasks.values())

    def abort(self, point: HookPoint, name: str) -> None:
        """See `ioc.ports.HookRunner`."""
        for task in self._tasks[point, name]:
            task.cancel()

    async def close(self) -> None:
        """End every program; one that cannot be ended within seconds is left alone."""
        for _, command in self._commands.values():
            command.end()
        if self._commands:
            await asyncio.wait(self._commands, timeout=_END_SECONDS)
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._resolver.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*(asyncio.to_thread(transport.close) for transport in self._transports.values()))

    async def _post(self, hook: Hook, told: str) -> HookOutcome:
        assert hook.post is not None
        parts, server = urlsplit(hook.post), _server(hook.post)
        headers = [("Content-Type", "application/json")]
        if parts.username is not None:
            user = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            headers.append(("Authorization", f"Basic {base64.b64encode(user.encode()).decode()}"))
        limit = asyncio.timeout(hook.timeout)
        try:
            async with limit:
                reply = await request("POST", hook.post, headers, told.encode(), self._resolver, most=MOST_BYTES)
        except NoAnswerError:
            return HookOutcome(f"{server} sent no complete HTTP answer")
        except PeerError as error:
            return HookOutcome(f"{server} {error}")
        except OSError as error:
            late = f"did not answer within {hook.timeout:g} s"
            return HookOutcome(f"{server} {late if limit.expired() else f'cannot be reached: {reason(error)}'}")
        good = 200 <= reply.status < 300
        error = "" if good else f"{server} answered with status {reply.status}"
        return HookOutcome(error, harmless(reply.body[:MOST_BYTES]))

    async def _command(self, key: _Key, hook: Hook, told: str) -> HookOutcome:
        assert hook.run is not None
        if sum(of == key for of, _ in self._commands.values()) >= _MOST:
            return HookOutcome(f"{_MOST} earlier runs of it have not ended")
        command = Command(self._transports[hook.host], hook.run, told, variables(told), hook.timeout)
        thread = asyncio.get_running_loop().run_in_executor(self._threads, command.run)
        self._commands[thread] = (key, command)
        thread.add_done_callback(self._ended)
        try:
            async with asyncio.timeout(hook.timeout):
                status = await asyncio.shield(thread)
        except TimeoutError:
            return HookOutcome(f"it did not end within {hook.timeout:g} s", harmless(command.output))
        except PeerError as error:
            return HookOutcome(str(error), harmless(command.output))
        finally:
            command.end()
        return HookOutcome(f"exit status {status}" if status else "", harmless(command.output))

    def _ended(self, thread: asyncio.Future[int]) -> None:
        del self._commands[thread]
        if not thread.cancelled() and (error := thread.exception()) is not None and not isinstance(error, PeerError):
            log.error("running a hook", exc_info=error)
