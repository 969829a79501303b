"""What all circuits of one server share."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ioc.ca.limits import Complaints, Limits
from ioc.ca.namespace import Namespace
from ioc.ca.puts import Puts

MayWrite = Callable[[str, str, str], bool]
"""Whether a client may write: PV name, address of its connection, user name as it says itself."""


@dataclass
class Site:
    namespace: Namespace
    puts: Puts
    may_write: MayWrite
    limits: Limits
    complaints: Complaints
    port: int = 0
    """TCP port of the server."""
    channels: int = 0
    """Open channels of all circuits."""
