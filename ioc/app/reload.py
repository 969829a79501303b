"""``IOC:Reload``: observables and interlocks change at once, all else by an internal restart while all is Idle.

It is refused while a hook runs, which it would kill.
``Obs:New:Add`` adds an observable to the file and reloads it. If the IOC ends in between, it starts with the new file.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from ioc.app.compose import Parts
from ioc.errors import ConfigurationError, PeerError, Refused
from ioc.model import Client, EccState, Event, Scalar, Severity
from ioc.runlogic.permits import system_reason
from ioc.runlogic.plan import Plan
from ioc.runlogic.readings import watched
from ioc.runlogic.turn import listing
from ioc.topology.derived import watched_pvs
from ioc.topology.edit import Add
from ioc.topology.rewrite import change_observables
from ioc.topology.schema import Topology

_ANSWER_SECONDS = 0.5
"""Delay between the answer to the command and the end of the server that has to deliver it."""


class Reloader:
    """Reads the topology again and decides how to apply the changes."""

    parts: Parts
    """What it changes; set once they are made, since they have the commands that lead here."""

    def __init__(self, topology: Topology, load: Callable[[], Topology], file: Path | None) -> None:
        self.rebuild = asyncio.Event()
        self.following: Topology | None = None
        """The topology to restart with, once `rebuild` is set."""
        self.topology = topology
        """What is in use."""
        self._load = load
        self._file = file
        self._turn = asyncio.Lock()
        """One reload at a time: both commands do it."""
        self._restart: asyncio.TimerHandle | None = None
        """The internal restart that was granted last."""

    async def reload(self, client: Client) -> None:
        """Apply the changes of the file.

        Raises:
            Refused: the file has errors, or more than observables and interlocks changed while not all is Idle, or
                while a hook runs.
        """
        async with self._turn:
            await self._reload(client)

    async def add_observable(self, fields: Mapping[str, Scalar], client: Client) -> str:
        """Add an observable to the topology file, and apply it; returns what was done.

        Raises:
            ConfigurationError: the file would have errors.
            Refused: the file has changes that are not in use, or may not be written.
            PeerError: the file was written but could not be applied.
        """
        if self._file is None:
            raise Refused("this IOC has no topology file, so no observable can be added by a PV")
        name = fields["name"]
        async with self._turn:
            self._check_in_use(await asyncio.to_thread(self._load))
            await asyncio.to_thread(change_observables, self._file, Add(fields))
            self._say(f"observable {name} is added to {self._file}", client)
            try:
                await self._reload(client)
            except Refused as refusal:
                raise PeerError(f"{name} was written to {self._file}, but the IOC does not use it: {refusal}") from None
        return f"{name} is now recorded; run `attpc-ioc screens` to add it to the screens"

    def _check_in_use(self, written: Topology) -> None:
        """Refuse a file with changes that nobody has reloaded: a reload would apply them as well."""
        changed = [key for key in _changed(self.topology, written) if key not in {"observables", "interlocks"}]
        if changed:
            raise Refused(f"the topology file has other changes ({', '.join(changed)}): put to IOC:Reload first")

    async def _reload(self, client: Client) -> None:
        try:
            new = await asyncio.to_thread(self._load)
        except ConfigurationError as error:
            raise Refused(f"topology not reloaded, nothing changed: {'; '.join(map(str, error.problems))}") from None
        if self._restart is not None:
            self._restart.cancel()  # it would restart with an older file
        old = self.topology
        if new == old:
            self._say("topology reloaded: nothing has changed", client)
        elif new == old.model_copy(update={"observables": new.observables, "interlocks": new.interlocks}):
            await self._change(new)
            self.topology = new
            what = [key for key in ("observables", "interlocks") if getattr(old, key) != getattr(new, key)]
            self._say(f"topology reloaded: {' and '.join(what)} have changed", client)
        else:
            self._check_at_rest(old, new)
            self._say("topology reloaded: the IOC restarts internally", client)
            loop = asyncio.get_running_loop()
            self._restart = loop.call_later(_ANSWER_SECONDS, self._rebuild, old, new)

    async def _change(self, new: Topology) -> None:
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
        self.parts.journal.add(Event(time.time(), severity, "IOC", text, client=client))

    def _check_at_rest(self, old: Topology, new: Topology) -> None:
        changed = ", ".join(_changed(old, new))
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
        if hooks := self.parts.hooks.under_way:
            raise Refused(f"topology not reloaded: {changed} changed, but {listing(hooks)} is under way")


def _changed(old: Topology, new: Topology) -> list[str]:
    """The keys at the top of the file whose values differ."""
    return [key for key in type(new).model_fields if getattr(old, key) != getattr(new, key)]
