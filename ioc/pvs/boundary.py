"""The boundary between `ioc.ca`, which is independent of `ioc`, and the rest: maps clients, errors and records of puts.

A put reaches the core in two steps: `ioc.ca` calls the handler of the PV, which is one of the functions made here, and
that function calls the engine (or the recorder or a host). An exception becomes the answer to the client.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager
from dataclasses import replace
from typing import Concatenate, ParamSpec

from ioc import ca
from ioc.engine import Engine
from ioc.errors import AttpcError, PeerError, Refused
from ioc.model import Client, PutRecord
from ioc.runlogic.events import Command

P = ParamSpec("P")


def handler(
    do: Callable[Concatenate[Client, P], Awaitable[None]],
) -> Callable[Concatenate[ca.Client, P], Awaitable[None]]:
    """Return a put handler that calls `do` with the client and, unless the PV is a command, the value."""

    async def put(client: ca.Client, *value: P.args, **others: P.kwargs) -> None:
        with _errors_for_clients():
            try:
                await do(_client(client), *value, **others)
            finally:
                await asyncio.sleep(0)  # in this turn of the event loop the PVs show what has changed

    return put


def command(
    engine: Engine, make: Callable[Concatenate[Client, P], Command]
) -> Callable[Concatenate[ca.Client, P], Awaitable[None]]:
    """Return a put handler that submits a command to the core; `make` gets the client and the value, if any."""

    async def put(client: ca.Client, *value: P.args, **others: P.kwargs) -> None:
        with _errors_for_clients():
            await engine.command(make(_client(client), *value, **others))

    return put


def number_command(engine: Engine, make: Callable[[Client, float], Command]) -> ca.PutHandler[float]:
    """The same for a number or the index of a state: `make` can be a lambda, since the types are known."""
    return command(engine, make)


def put_record(put: ca.PutRecord) -> PutRecord:
    """Return the record of a put for the run database, still without its run."""
    values = put.old_value, put.new_value
    record = PutRecord(put.occurred_at, put.pv, *values, _client(put.client), put.result, put.message)
    return replace(record, count=put.count, logged=put.logged)


async def start(server: ca.CaServer) -> None:
    """Start the Channel Access server.

    Raises:
        PeerError: a port is in use or an environment variable is invalid.
    """
    try:
        await server.start()
    except ca.CannotServe as error:
        raise PeerError(str(error)) from error


def _client(client: ca.Client) -> Client:
    return Client(client.user, client.host)


@contextmanager
def _errors_for_clients() -> Generator[None]:
    try:
        yield
    except Refused as error:
        raise ca.Refused(str(error), logged=error.logged) from error
    except AttpcError as error:
        raise ca.PutFailed(str(error), logged=error.logged) from error
