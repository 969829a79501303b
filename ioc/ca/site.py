"""What all circuits of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ioc.ca.limits import Complaints, Limits
from ioc.ca.namespace import Namespace
from ioc.ca.outbox import Turns
from ioc.ca.puts import Puts
from ioc.ca.pv import Client, Pv

MayWrite = Callable[[str, str, str], bool]
"""Whether a client may write: PV name, address of its connection, user name as it says itself."""


@dataclass
class Site:
    namespace: Namespace
    puts: Puts
    may_write: MayWrite
    limits: Limits
    complaints: Complaints
    turns: Turns = field(default_factory=Turns)
    port: int = 0
    """TCP port of the server."""
    channels: int = 0
    """Open channels of all circuits."""

    def writable(self, pv: Pv[Any], client: Client) -> bool:
        """Whether this client may put to this PV or field."""
        return pv.on_put is not None and self.may_write(pv.name.partition(".")[0], client.host, client.user)
