"""The demo: the names of a topology, with simulators on this machine in place of its hosts."""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from ioc.app.ending import Ending
from ioc.app.serve import serve
from ioc.errors import PeerError, Refused
from ioc.model import PVA_SCHEME
from ioc.sim import (
    ConfigNames,
    ObservablePlan,
    PartnerPlan,
    RouterPlan,
    ServerPlan,
    SimulatorError,
    Site,
    SiteAddresses,
    SitePlan,
)
from ioc.sim.plan import HOST
from ioc.topology.derived import sources_of
from ioc.topology.load import EXAMPLE
from ioc.topology.schema import Config, Destination, Hooks, Partner, Topology

log = logging.getLogger(__name__)

_CONFIG_NAMES = ConfigNames(describe=("sim",), prepare=(), configure=("sim", "pulser"))
_SETTLE_SECONDS = 1.0
_USER = "daq"
"""Who runs the simulated ReadoutGUIs."""
PARTNER = Partner(name="FRIBDAQ", host=HOST)
"""The partner that ``--with-partner`` adds to a topology without partners."""
_MIN_DISK_FREE_GB = 0.2


def with_partner(topology: Topology) -> Topology:
    """Return the topology with a partner, if it has none."""
    return topology if topology.partners else topology.model_copy(update={"partners": (PARTNER,)})


async def demo(
    topology: Topology,
    load: Callable[[], Topology],
    directory: Path,
    *,
    file: Path,
    speed: float,
    announce: Callable[[Topology], None],
    ending: Ending | None = None,
) -> None:
    """Run simulators for all parts of `topology`, and the real IOC that controls them.

    All files are written below `directory`. `speed` divides the real duration of the transitions. `load` reads the
    topology for a reload from `file`. `announce` is called when the PVs can be read. `ending` is given if the process
    ends with this call.

    Raises:
        PeerError: a simulator cannot start, or the IOC cannot.
    """
    _make(directory)
    for destination in topology.archive:
        _make(directory / "archive" / destination.name)
    plan = site_plan(topology, directory, speed=speed)
    async with _running(plan) as site:
        simulated = on_this_machine(topology, site.addresses, directory)
        os.environ.update(slow_control_environment(site.addresses))
        announced = False

        def ready() -> None:
            nonlocal announced
            if not announced:  # called again after an internal restart
                announce(simulated)
            announced = True
            log.info("faults on demand (docs/simulator.md): python -m ioc.sim.control %d", site.addresses.control_port)

        def load_again() -> Topology:
            new = load()
            _check_simulated(plan, site_plan(new, directory, speed=speed))
            return on_this_machine(new, site.addresses, directory)

        await serve(simulated, load_again, file=file, simulated=True, when_ready=ready, ending=ending)


@asynccontextmanager
async def _running(plan: SitePlan) -> AsyncGenerator[Site, None]:
    try:
        async with Site(plan) as site:
            yield site
    except SimulatorError as error:
        raise PeerError(str(error)) from None


def _check_simulated(present: SitePlan, wanted: SitePlan) -> None:
    """Refuse a topology whose parts differ from the simulated ones; log the source PVs that are not simulated.

    Raises:
        Refused: naming the section that has changed.
    """
    for section, before, after in (
        ("ecc_servers or data_sources", present.servers, wanted.servers),
        ("data_routers", present.routers, wanted.routers),
        ("partners", present.partners, wanted.partners),
    ):
        if before != after:
            raise Refused(
                f"topology not reloaded, nothing changed: the demo simulates the {section} "
                "that it started with: restart it"
            )
    for each in set(wanted.observables) - set(present.observables):
        log.warning("%s (%s) is not simulated until the demo is restarted", each.pv, each.type)


def example_in(directory: Path) -> Path:
    """Return the copy of the example topology in the demo's directory, which may be changed; make it if necessary.

    Raises:
        PeerError: the directory cannot be used.
    """
    _make(directory)
    file = directory / "topology.yaml"
    try:
        if not file.exists():
            shutil.copyfile(EXAMPLE, file)
    except OSError as error:
        raise PeerError(f"{file} cannot be written: {error.strerror}") from None
    return file


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise PeerError(f"the directory {directory} of the demo cannot be created: {error.strerror}") from None
    try:
        tempfile.TemporaryFile(dir=directory).close()
    except OSError as error:
        raise PeerError(f"the directory {directory} of the demo cannot be used: {error.strerror}") from None


def site_plan(topology: Topology, directory: Path, *, speed: float) -> SitePlan:
    """Return the plan of the simulation: as many servers, routers and slow-control PVs as the topology has."""
    return SitePlan(
        directory=str(directory),
        servers=tuple(
            ServerPlan(
                name=server.name,
                sources=tuple(source.id for source in sources_of(topology, server.name)),
                role=server.role.value,
                supports_resume=server.supports_resume,
                dialect="2.7" if index % 2 else "2.8",
            )
            for index, server in enumerate(topology.ecc_servers)
        ),
        routers=tuple(RouterPlan(router.name, router.type.value) for router in topology.data_routers),
        observables=(
            *(
                ObservablePlan(_simulated(each.pv), each.type.value, each.units)
                for each in topology.observables
                if each.pv
            ),
            *(
                ObservablePlan(_simulated(each.pv), low=each.low, high=each.high)
                for each in topology.interlocks
                if each.pv and not each.allowed
            ),
        ),
        partners=tuple(PartnerPlan(each.name, each.user or _USER) for each in topology.partners),
        configs=_CONFIG_NAMES,
        speed=speed,
    )


def _simulated(pv: str) -> str:
    """Return the PV that the simulated slow controls serve, by Channel Access, for one that is followed."""
    return pv.removeprefix(PVA_SCHEME).partition("/")[0] if pv.startswith(PVA_SCHEME) else pv


def on_this_machine(topology: Topology, addresses: SiteAddresses, directory: Path) -> Topology:
    """Return the topology with the hosts, ports and paths of the simulators."""
    choice = Config(describe="sim", prepare="sim", configure="sim")
    servers = tuple(
        server.model_copy(
            update={
                "host": HOST,
                "port": addresses.servers[server.name].port,
                "config": choice,
                "config_root": addresses.config_root,
                "config_backup_root": str(directory / "config_backups"),
                "log_path": addresses.servers[server.name].log_path,
                "units": None,
                "ssh": "local",
            }
        )
        for server in topology.ecc_servers
    )
    routers = tuple(
        router.model_copy(
            update={
                "host": HOST,
                "port": addresses.routers[router.name].port,
                "work_dir": None,
                "log_path": addresses.routers[router.name].log_path,
                "units": None,
                "ssh": "local",
            }
        )
        for router in topology.data_routers
    )
    observables = tuple(
        each.model_copy(update={"pv": _simulated(each.pv)}) if each.pv else each for each in topology.observables
    )
    interlocks = tuple(
        each.model_copy(update={"pv": _simulated(each.pv)}) if each.pv else each for each in topology.interlocks
    )
    partners = tuple(
        each.model_copy(update={"host": HOST, "port": None, "port_manager": addresses.partners[each.name].manager_port})
        for each in topology.partners
    )
    runs = topology.runs.model_copy(update={"settle_seconds": _SETTLE_SECONDS, "min_disk_free_gb": _MIN_DISK_FREE_GB})
    archive = tuple(
        Destination(name=each.name, directory=str(directory.resolve() / "archive" / each.name), layout=each.layout)
        for each in topology.archive
    )
    return topology.model_copy(
        update={
            "database": str(directory / "runs.db"),
            "ecc_servers": servers,
            "data_routers": routers,
            "ssh": "local",
            "units": None,
            "observables": observables,
            "interlocks": interlocks,
            "partners": partners,
            "runs": runs,
            "hooks": Hooks(),  # they act on real devices
            "access": None,
            "logbook": tuple(
                each.model_copy(update={"file": str(directory / f"{each.name}.md")})
                for each in topology.logbook
                if each.kind == "markdown"
            ),
            "archive": archive,
            "notifications": None,  # people must not be called because of a demo
        }
    )


def slow_control_environment(addresses: SiteAddresses) -> dict[str, str]:
    """Return the environment in which the IOC's Channel Access client finds only the simulated slow controls."""
    return {
        "EPICS_CA_ADDR_LIST": f"{HOST}:{addresses.ca_port}",
        "EPICS_CA_AUTO_ADDR_LIST": "NO",
        "EPICS_CAS_BEACON_ADDR_LIST": os.environ.get("EPICS_CAS_BEACON_ADDR_LIST", HOST),
    }
