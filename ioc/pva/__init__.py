"""The PVAccess layer: the PVs of `ioc.ca` for PVAccess clients, and tables. It depends on p4p and `ioc.ca` only.

A PV keeps one value, alarm and time stamp for both protocols. While PVAccess clients are connected to it, a `Mirror` is
one of its subscribers and passes each `Snapshot` on, within the same turn of the event loop; without clients it costs
nothing. A put takes the same way as one over Channel Access (`ioc.ca.puts`): same check, same order, same record.

pvxs, the C++ library below p4p, serves clients in threads of its own. Its callbacks only look up a name or hand a put
over to the event loop, where everything else happens.

Tables of the whole detector exist by PVAccess only. Their contents come from outside as plain columns.

Modules, from below: `structures` (the normative types), `mirror` (one PV), `page` (one table), `server`.
"""

from ioc.pva.server import PvaServer

__all__ = ["PvaServer"]
