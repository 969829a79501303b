"""A whole AT-TPC simulated on this machine: ECC servers, data routers, slow controls.

It shares no code with the client side: it is built from recordings of the real servers, so that one misunderstanding
cannot satisfy both sides. See ``docs/simulator.md``.
"""

from ioc.sim.client import Site
from ioc.sim.plan import (
    ConfigNames,
    EccAddress,
    ObservablePlan,
    RouterAddress,
    RouterPlan,
    ServerPlan,
    SiteAddresses,
    SitePlan,
)

__all__ = [
    "ConfigNames",
    "EccAddress",
    "ObservablePlan",
    "RouterAddress",
    "RouterPlan",
    "ServerPlan",
    "Site",
    "SiteAddresses",
    "SitePlan",
]
