"""The ECC client: `ioc.ports.EccClient` over SOAP."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from enum import IntEnum
from threading import Event
from typing import TypeVar

from ioc.ecc.documents import config_digest, config_id, configs_in, link_table, sources_in
from ioc.ecc.http import DeadlinePassedError, ExchangeFailedError
from ioc.ecc.lane import Lane, LaneFullError
from ioc.ecc.soap import SoapReply, SoapService
from ioc.errors import PeerError, PeerRejected, PeerTimeout, Refused
from ioc.model import ConfigChoice, DataLink, EccReading, EccState, Operation, Transition, TransitionReply

_log = logging.getLogger(__name__)

_WAITING_READS = 4
"""Reads that may wait for a slow server at one time; more would only grow old together."""

_GRACE_SECONDS = 0.1
"""How much longer than the thread the loop waits, so that it is the thread that ends a call, wherever it can."""

_Number = TypeVar("_Number", bound=IntEnum)


class ZeepEccClient:
    """One ECC server.

    Reads and transitions have a thread each, so that GetState is answered while a transition runs. Each call has one
    deadline for all of it, from the moment it is asked for.
    """

    def __init__(self, name: str, host: str, port: int, *, state_timeout: float, transition_timeout: float) -> None:
        """Connect nothing yet; time-outs are in seconds, the one for transitions must be above 120 on a real server."""
        self._label = f"ECC server {name} at {host}:{port}"
        self._state_timeout = state_timeout
        self._transition_timeout = transition_timeout
        self._closed = Event()
        self._read_lane = Lane(f"ecc-{name}-read", _WAITING_READS)
        self._read_service = SoapService(host, port, self._closed)
        self._transition_lane = Lane(f"ecc-{name}-transition", 1)
        self._transition_service = SoapService(host, port, self._closed)

    async def get_state(self) -> EccReading:
        """Read state and transition; also answers while a transition runs."""
        reply = await self._read("GetState")
        return EccReading(
            self._known(EccState, reply.state, "state", EccState.Off, EccState.Paused),
            self._known(Transition, reply.transition, "transition", Transition.NoTransition, Transition.Undoing),
            reply.received_at,
        )

    async def get_configs(self) -> tuple[ConfigChoice, ...]:
        """Read the list of configurations, without those whose names may not be sent (warned of in the log)."""
        reply = await self._read("GetConfigIDs")
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
        lane, service, timeout = self._transition_lane, self._transition_service, self._transition_timeout
        try:
            reply = await self._ask(lane, service, operation, timeout, arguments)
        except PeerTimeout as error:
            raise PeerTimeout(f"{error}, so that its state must be read to know what it did") from None
        return TransitionReply(
            sources=self._sources(reply.text) if operation is Operation.Describe else (),
            config_digest=config_digest(reply.text) if operation is Operation.Configure else "",
        )

    async def close(self) -> None:
        """End both threads within a second, even if the server hangs."""
        self._closed.set()
        await asyncio.gather(self._read_lane.close(), self._transition_lane.close())

    def _sources(self, text: str) -> tuple[str, ...]:
        # The text is empty if Describe was ignored; one that cannot be read does not make its success a failure.
        if not text:
            return ()
        try:
            return sources_in(text)
        except PeerError as error:
            _log.warning("%s answered Describe, but %s", self._label, error)
            return ()

    async def _read(self, operation: str) -> SoapReply:
        return await self._ask(self._read_lane, self._read_service, operation, self._state_timeout, {})

    async def _ask(
        self, lane: Lane, service: SoapService, operation: str, timeout: float, arguments: Mapping[str, str]
    ) -> SoapReply:
        deadline = time.monotonic() + timeout
        try:
            async with asyncio.timeout(timeout + _GRACE_SECONDS):
                reply = await lane.submit(lambda: service.call(operation, deadline, arguments))
        except LaneFullError:
            raise PeerError(f"{self._label} was not sent {operation}: {self._why_full()}") from None
        except (TimeoutError, DeadlinePassedError):
            raise PeerTimeout(f"{self._label} did not answer {operation} within {timeout:g} s") from None
        except ExchangeFailedError as failure:
            raise PeerError(f"{self._label} {failure}") from None
        if reply.code != 0:
            message = reply.message.strip() or "no message"
            raise PeerRejected(f"{self._label} failed {operation} with code {reply.code}: {message}", reply.code)
        return reply

    def _why_full(self) -> str:
        if self._closed.is_set():
            return "this client is closed"
        return "it has not yet answered what was sent before"

    def _known(self, numbers: type[_Number], number: int | None, what: str, first: _Number, last: _Number) -> _Number:
        if number is None or not first <= number <= last:
            said = "no number" if number is None else str(number)
            raise PeerError(
                f"{self._label} answered GetState with {said} as its {what}, "
                f"but it must be {first.value} ({first.name}) to {last.value} ({last.name})"
            )
        return numbers(number)
