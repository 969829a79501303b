"""Polling peers: every outcome becomes an event."""

from __future__ import annotations

import logging

from ioc.errors import PeerError, PeerHangs, PeerTimeout
from ioc.ports import EccClient, Host, Partner
from ioc.runlogic.events import PartnerLost, PartnerRead, RoutersLost, RoutersRead, ServerLost, ServerRead

log = logging.getLogger(__name__)


async def read_server(name: str, client: EccClient) -> ServerRead | ServerLost:
    try:
        return ServerRead(name, await client.get_state())
    except PeerTimeout as error:
        return ServerLost(name, str(error), hangs=True if isinstance(error, PeerHangs) else None)
    except PeerError as error:
        return ServerLost(name, str(error))
    except Exception:
        log.exception("reading the state of ECC server %s", name)
        return ServerLost(name, f"ECC server {name}: internal error, see the log of the IOC")


async def read_routers(host: Host, run_directory: str) -> RoutersRead | RoutersLost:
    try:
        return RoutersRead(await host.router_facts(run_directory))
    except PeerError as error:
        return RoutersLost(host.routers, str(error))
    except Exception:
        log.exception("looking at host %s", host.name)
        return RoutersLost(host.routers, f"host {host.name}: internal error, see the log of the IOC")


async def read_partner(name: str, partner: Partner) -> PartnerRead | PartnerLost:
    try:
        return PartnerRead(name, await partner.read())
    except PeerError as error:
        return PartnerLost(name, str(error))
    except Exception:
        log.exception("reading the state of partner %s", name)
        return PartnerLost(name, f"partner {name}: internal error, see the log of the IOC")
