"""A small installation for the tests of the core."""

from __future__ import annotations

from ioc.model import LinkType, OnEnd, Role
from ioc.topology.schema import (
    Config,
    DataRouter,
    DataSource,
    EccServer,
    Hook,
    Hooks,
    Interlock,
    Observable,
    Partner,
    Runs,
    Topology,
    Units,
)

CONFIG = Config(describe="front", prepare="e20", configure="e20")
OBSERVABLES = (Observable(name="pressure", pv="GAS:P", units="Torr"),)

HOOKS = Hooks(
    before_start=(Hook(name="hv", run=("hv", "on"), required=True), Hook(name="light", run=("light", "off"))),
    after_start=(Hook(name="note", post="http://127.0.0.1/"),),
    before_stop=(Hook(name="hv", run=("hv", "save")),),
    after_stop=(Hook(name="hv", run=("hv", "off"), required=True),),
    after_filing=(Hook(name="copy", run=("copy",)),),
    failed=(Hook(name="note", post="http://127.0.0.1/"),),
)
"""One or two for each occasion."""


PARTNERS = (
    Partner(name="early", host="127.0.0.1", port=1, on_end=OnEnd.Stop),
    Partner(name="late", host="127.0.0.1", port=2, order="after"),
)


def topology(
    *,
    resume: bool = True,
    reset_mutant: bool = False,
    config: bool = True,
    interlocks: tuple[Interlock, ...] = (),
    hooks: Hooks = Hooks(),  # noqa: B008 - frozen
    units: Units | None = None,
    partners: tuple[Partner, ...] = (),
) -> Topology:
    """Two CoBos and a MuTAnT, each with a router of its own; one observable is required."""
    boards = (("CoBo0", Role.CoBo, "CoBo[0]", "data0"), ("CoBo1", Role.CoBo, "CoBo[1]", "data1"))
    sections = (*boards, ("MuTAnT", Role.MuTAnT, "Mutant[master]", "mutant"))
    return Topology(
        experiment="e20",
        ecc_servers=tuple(
            EccServer(
                name=name,
                role=role,
                host="127.0.0.1",
                supports_resume=resume,
                config=CONFIG if config else None,
                config_root="/configs" if role is Role.CoBo else None,
                config_backup_root="/backup" if role is Role.CoBo else None,
            )
            for name, role, _, _ in sections
        ),
        data_routers=tuple(
            DataRouter(name=router, host="127.0.0.1", type=LinkType.FDT if router == "mutant" else LinkType.TCP)
            for _, _, _, router in sections
        ),
        data_sources=tuple(
            DataSource(id=source, ecc_server=name, data_routers=(router,)) for name, _, source, router in sections
        ),
        observables=OBSERVABLES if interlocks else (),
        units=units,
        interlocks=interlocks,
        hooks=hooks,
        partners=partners,
        runs=Runs(require=("pressure",), reset_mutant_before_start=reset_mutant),
    )
