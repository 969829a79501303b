"""The Channel Access layer: typed PVs and the server that offers them. It depends on caproto, not on the rest of `ioc`.

It uses caproto's protocol layer (commands, `VirtualCircuit`, `Broadcaster`, DBR structures) with a server of our own.
The paths of a put and a post:

*A put.* `Circuit` receives bytes, `Requests` decodes a request from them, and the client's `Session` handles it: it
decodes the data (`PutData`), asks whether this client may write, and hands the put to `Puts`. There the PV checks the
data (`accept`), and a task calls the PV's handler, `on_put(client, value)`, which does the work and posts the new value
itself. When the handler has returned or raised, the put is recorded and the session answers: WRITE_NOTIFY, or the error
with its reason.

*A post.* `Pv.post` makes a `Snapshot` and offers it to every `Subscription` whose event mask asks for it. Each encodes
it, which is done once per data type and count for all clients, and puts the message into the `Outbox` of its client. In
the event loop's next turn, `Turns` lets every outbox write a batch, the shortest first. While a client's socket is
full, only the newest value of a subscription waits.

Modules, from below: `pv` and `types` (PVs, without sockets), `encoding`, `fields` and `filters` (what a channel name
may add to a PV); `wire` (messages); `outbox`, `session`, `circuit` (one client); `puts`, `limits`, `site` (shared by
all clients); `environment`, `sockets`, `search`, `beacons` (the network); `server`, which combines them.
"""

from ioc.ca.environment import own_addresses
from ioc.ca.limits import Limits
from ioc.ca.puts import PutRecord
from ioc.ca.pv import STATUSES, Client, PutFailed, PutHandler, Pv, Refused
from ioc.ca.server import CaServer, ServerStats
from ioc.ca.site import MayWrite, Site
from ioc.ca.sockets import CannotServe
from ioc.ca.types import CommandPv, EnumPv, FloatArrayPv, FloatPv, IntPv, StringArrayPv, StringPv, TextPv

__all__ = [
    "STATUSES",
    "CaServer",
    "CannotServe",
    "Client",
    "CommandPv",
    "EnumPv",
    "FloatArrayPv",
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
    "Site",
    "StringArrayPv",
    "StringPv",
    "TextPv",
    "own_addresses",
]
