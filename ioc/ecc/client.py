"""The ECC client: `ioc.ports.EccClient` over SOAP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeVar

from ioc.ecc.documents import config_digest, config_id, configs_in, link_table, sources_in
from ioc.ecc.http import ExchangeFailedError
from ioc.ecc.soap import SoapReply, SoapService
from ioc.errors import PeerError, PeerHangs, PeerRejected, PeerTimeout, Refused
from ioc.model import ConfigChoice, DataLink, EccReading, EccState, Operation, Transition, TransitionReply
from ioc.topology.schema import Topology

_log = logging.getLogger(__name__)

_WAITING_READS = 4
"""Reads that may wait for a slow server at one time; more would not help."""

_Number = TypeVar("_Number", bound=IntEnum)


@dataclass
class _Calls:
    """Unanswered calls of one kind."""

    most: int
    timeout: float
    tasks: set[asyncio.Task[SoapReply]] = field(default_factory=set[asyncio.Task[SoapReply]])


class ZeepEccClient:
    """One ECC server.

    Each call has its own connection, so that GetState is answered while a transition runs, and one overall time-out. A
    call continues even if its caller is cancelled: a request cannot be undone.
    """

    def __init__(self, name: str, host: str, port: int, *, state_timeout: float, transition_timeout: float) -> None:
        """Does not connect yet. Time-outs are in seconds; the one for transitions must exceed 120 on a real server."""
        self._label = f"ECC server {name} at {host}:{port}"
        self._service = SoapService(name, host, port)
        self._reads = _Calls(_WAITING_READS, state_timeout)
        self._transitions = _Calls(1, transition_timeout)
        self._closed = False

    async def get_state(self) -> EccReading:
        """Read state and transition; also answers while a transition runs."""
        reply = await self._ask(self._reads, "GetState", {})
        return EccReading(
            self._known(EccState, reply.state, "state", EccState.Off, EccState.Paused),
            self._known(Transition, reply.transition, "transition", Transition.NoTransition, Transition.Undoing),
            reply.received_at,
        )

    async def get_configs(self) -> tuple[ConfigChoice, ...]:
        """Read the list of configurations, without those whose names may not be sent (the log has a warning)."""
        reply = await self._ask(self._reads, "GetConfigIDs", {})
        try:
            offered = configs_in(reply.text)
        except PeerError as error:
            raise PeerError(f"{self._label} answered GetConfigIDs, but {error}") from None
        for reason in offered.unusable:
            _log.warning("%s offers a configuration that cannot be used: %s", self._label, reason)
        return offered.choices

    async def transition(
        self, operation: Operation, config: ConfigChoice, links: Sequence[DataLink]
    ) -> TransitionReply:
        """Send one transition, once, and wait for its reply; see `ioc.ports.EccClient`."""
        try:
            arguments = {"configID": config_id(config), "table": link_table(links)}
        except Refused as refusal:
            raise PeerError(f"{self._label} was not sent {operation}: {refusal}") from None
        try:
            reply = await self._ask(self._transitions, operation, arguments)
        except PeerTimeout as error:
            raise PeerTimeout(f"{error}: read its state to see what it did") from None
        return TransitionReply(
            sources=self._sources(reply.text) if operation is Operation.Describe else (),
            config_digest=config_digest(reply.text) if operation is Operation.Configure else "",
        )

    async def close(self) -> None:
        """End every call within a second, even if the server hangs."""
        if self._closed:
            return
        self._closed = True
        calls = self._reads.tasks | self._transitions.tasks
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)
        await self._service.close()

    def _sources(self, text: str) -> tuple[str, ...]:
        # The text is empty if Describe was ignored; Describe has succeeded even if the text cannot be read.
        if not text:
            return ()
        try:
            return sources_in(text)
        except PeerError as error:
            _log.warning("%s answered Describe, but %s", self._label, error)
            return ()

    async def _ask(self, calls: _Calls, operation: str, arguments: Mapping[str, str]) -> SoapReply:
        if self._closed:
            raise PeerError(f"{self._label} was not sent {operation}: this client is closed")
        if len(calls.tasks) >= calls.most:
            raise PeerError(f"{self._label} was not sent {operation}: it has not answered the previous request yet")
        call = asyncio.create_task(self._call(operation, calls.timeout, arguments))
        calls.tasks.add(call)
        call.add_done_callback(calls.tasks.discard)
        call.add_done_callback(lambda done: done.cancelled() or done.exception())  # the caller may no longer wait
        try:
            return await asyncio.shield(call)
        finally:
            del call  # its error would keep this frame, and this frame the call with the whole answer

    async def _call(self, operation: str, timeout: float, arguments: Mapping[str, str]) -> SoapReply:
        connected = asyncio.Event()
        try:
            async with asyncio.timeout(timeout):
                reply = await self._service.call(operation, arguments, connected=connected.set)
        except TimeoutError:
            late = PeerHangs if connected.is_set() else PeerTimeout
            raise late(f"{self._label} did not answer {operation} within {timeout:g} s") from None
        except ExchangeFailedError as failure:
            raise PeerError(f"{self._label} {failure}") from None
        except asyncio.CancelledError:
            if not self._closed:
                raise
            raise PeerError(f"{self._label} had not answered {operation} when this client was closed") from None
        if reply.code != 0:
            message = reply.message.strip() or "no message"
            raise PeerRejected(f"{self._label} failed {operation} with code {reply.code}: {message}")
        return reply

    def _known(self, numbers: type[_Number], number: int | None, what: str, first: _Number, last: _Number) -> _Number:
        if number is None or not first <= number <= last:
            said = "no number" if number is None else str(number)
            raise PeerError(
                f"{self._label} answered GetState with {said} as its {what}, "
                f"but it must be {first.value} ({first.name}) to {last.value} ({last.name})"
            )
        return numbers(number)


def build_clients(topology: Topology) -> dict[str, ZeepEccClient]:
    """Make a client for each ECC server, by name."""
    times = topology.timeouts
    return {
        each.name: ZeepEccClient(
            each.name, each.host, each.port, state_timeout=times.state, transition_timeout=times.transition
        )
        for each in topology.ecc_servers
    }
