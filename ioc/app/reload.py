"""``IOC:Reload``: observables and interlocks change at once, all else by an internal restart while all is Idle."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ioc.app.compose import Parts
from ioc.errors import ConfigurationError, Refused
from ioc.model import Client, EccState, Event, Severity
from ioc.runlogic.permits import system_reason
from ioc.runlogic.plan import Plan
from ioc.runlogic.readings import watched
from ioc.topology.derived import watched_pvs
from ioc.topology.schema import Topology

_ANSWER_SECONDS = 0.5
"""Delay between the answer to the command and the end of the server that has to deliver it."""


class Reloader:
    """Reads the topology again and decides how to apply the changes."""

    def __init__(self, topology: Topology, load: Callable[[], Topology]) -> None:
        self.parts: Parts | None = None
        self.rebuild = asyncio.Event()
        self.following: Topology | None = None
        """The topology to restart with, once `rebuild` is set."""
        self._topology = topology
        self._load = load

    async def reload(self, client: Client) -> None:
        """Apply the changes of the file.

        Raises:
            Refused: the file has errors, or more than observables and interlocks changed while not all is Idle.
        """
        assert self.parts is not None
        try:
            new = await asyncio.to_thread(self._load)
        except ConfigurationError as error:
            raise Refused(f"topology not reloaded, nothing changed: {'; '.join(map(str, error.problems))}") from None
        old = self._topology
        if new == old:
            self._say("topology reloaded: nothing has changed", client)
        elif new == old.model_copy(update={"observables": new.observables, "interlocks": new.interlocks}):
            await self._change(new)
            self._topology = new
            what = [key for key in ("observables", "interlocks") if getattr(old, key) != getattr(new, key)]
            self._say(f"topology reloaded: {' and '.join(what)} have changed", client)
        else:
            self._check_at_rest(old, new)
            self._say("topology reloaded: the IOC restarts internally", client)
            asyncio.get_running_loop().call_later(_ANSWER_SECONDS, self._rebuild, old, new)

    async def _change(self, new: Topology) -> None:
        """Take over observables and interlocks."""
        assert self.parts is not None
        parts, plan = self.parts, Plan.of(new)
        await parts.recorder.reload(new.observables, watched_pvs(new))
        parts.engine.change_plan(plan, tuple(parts.recorder.readings(watched(plan, parts.engine.state))))
        parts.tree.set_observables(new.observables, parts.server)
        parts.tree.set_interlocks(parts.server)
        parts.pva.forget_removed()
        parts.tree.show_observables(parts.recorder.views(parts.recorder.names))

    def _rebuild(self, old: Topology, new: Topology) -> None:
        """Restart internally, unless an operation began while the command was being answered."""
        try:
            self._check_at_rest(old, new)
        except Refused as refusal:
            self._say(str(refusal), Client(), Severity.MINOR)
        else:
            self.following = new
            self.rebuild.set()

    def _say(self, text: str, client: Client, severity: Severity = Severity.NO_ALARM) -> None:
        assert self.parts is not None
        self.parts.journal.add(Event(time.time(), severity, "IOC", text, client=client))

    def _check_at_rest(self, old: Topology, new: Topology) -> None:
        assert self.parts is not None
        changed = ", ".join(key for key in type(new).model_fields if getattr(old, key) != getattr(new, key))
        state = self.parts.engine.state
        busy = [
            f"{name} is {server.state.name}"
            for name, server in state.servers.items()
            if server.state is not EccState.Idle or server.busy
        ]
        if state.restored and (reason := system_reason(state)):
            busy.append(reason)
        if busy:
            raise Refused(
                f"topology not reloaded: {changed} changed, but every ECC server must be Idle and at rest: "
                f"{', '.join(busy)}"
            )
