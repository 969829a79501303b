"""The Channel Access layer: typed PVs and the server that offers them.

caproto's protocol layer (its commands, `VirtualCircuit`, `Broadcaster`, DBR structures) under a server of our own:

- PVs, without any socket: `pv`, and by type `numeric`, `enumerated`, `text`; `fields` are their record fields;
  `putdata` is what a client wants to set, `characters` texts that come as arrays; `filters` are what it may append to a
  name.
- One client: `circuit` (connection, turns), `session` (channels, subscriptions), `transfer` (reads, puts), `outbox`
  (what it is still to be sent), `dbr` (values as bytes).
- The server: `server`, with `clients` (who is let in), `namespace` (which PVs there are), `puts` and `journal` (work
  and record of puts), `search` and `beacons` (UDP), `environment`, `interfaces` and `sockets`, `limits`, `site`.
"""

from ioc.ca.enumerated import CommandPv, EnumPv
from ioc.ca.errors import CannotServe, PutFailed, Refused
from ioc.ca.journal import PutRecord
from ioc.ca.limits import Limits
from ioc.ca.numeric import FloatPv, IntPv
from ioc.ca.pv import STATUSES, Client, PutHandler, Pv
from ioc.ca.server import CaServer, ServerStats
from ioc.ca.site import MayWrite
from ioc.ca.text import StringArrayPv, StringPv, TextPv

__all__ = [
    "STATUSES",
    "CaServer",
    "CannotServe",
    "Client",
    "CommandPv",
    "EnumPv",
    "FloatPv",
    "IntPv",
    "Limits",
    "MayWrite",
    "PutFailed",
    "PutHandler",
    "PutRecord",
    "Pv",
    "Refused",
    "ServerStats",
    "StringArrayPv",
    "StringPv",
    "TextPv",
]
