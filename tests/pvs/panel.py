"""The PVs of an installation in front of an engine between fakes, without a network."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ioc import ca
from ioc.ca import CaServer, Pv
from ioc.model import Client, ObservableView, RunRecord, Scalar
from ioc.pvs import PvTree, Services
from ioc.rundb import StoreHealth
from ioc.topology.schema import Interlock, Observable, Partner, Topology
from tests.engine.bench import Bench
from tests.runlogic.installation import topology as small_topology

OBSERVABLES = (
    Observable.model_validate({"name": "pressure", "pv": "GAS:P", "units": "Torr", "label": "Gas pressure"}),
    Observable.model_validate({"name": "count", "pv": "C", "type": "integer"}),
    Observable.model_validate({"name": "valve", "pv": "V", "type": "enum"}),
    Observable.model_validate({"name": "gas", "type": "string"}),
)


def topology() -> Topology:
    """The small installation with observables of every type."""
    return small_topology().model_copy(update={"observables": OBSERVABLES, "prefix": "T:"})


class Panel:
    """PVs by their name without the prefix; `bench` is the engine behind them."""

    def __init__(
        self,
        *,
        simulated: bool = False,
        interlocks: tuple[Interlock, ...] = (),
        partners: tuple[Partner, ...] = (),
    ) -> None:
        self.bench = Bench(topology().model_copy(update={"interlocks": interlocks, "partners": partners}))
        self.health = StoreHealth(0, 0.0, 0, "")
        self.views: list[ObservableView] = []
        self.set: list[tuple[str, Scalar]] = []
        self.runs: list[RunRecord] = []
        self.changes = 0
        self.log_text = "one\ntwo\n"
        self.services = Services(
            read_server_log=self._log,
            read_router_log=self._log,
            set_manual=self._set_manual,
            views=lambda names: [view for view in self.views if view.name in set(names)],
            database_health=lambda: self.health,
            reload=self._reload,
            add_observable=self._add_observable,
            last_runs=self._last_runs,
            database_changes=lambda: self.changes,
        )
        self.tree = PvTree(self.bench.topology, self.bench.engine, self.services, simulated=simulated)
        self.bench.engine.subscribe(self.tree.show)
        self.server = CaServer(self.tree.pvs, may_write=lambda *_: True, journal=lambda _: None)

    def __getitem__(self, name: str) -> Pv[Any]:
        return next(pv for pv in self.tree.pvs if pv.name == f"T:{name}")

    def text(self, name: str) -> str:
        """A PV's value as a user reads it."""
        pv = self[name]
        return pv.label(pv.value)

    async def put(self, name: str, value: Any) -> None:
        """What the server does with a put that was accepted."""
        handler = self[name].on_put
        assert handler is not None
        await handler(ca.Client("ana", "127.0.0.1"), value)

    async def _log(self, name: str) -> str:
        return self.log_text

    async def _set_manual(self, name: str, value: Scalar, client: Client) -> None:
        self.set.append((name, value))

    async def _last_runs(self, experiment: str, most: int) -> tuple[RunRecord, ...]:
        return tuple(self.runs)

    async def _reload(self, client: Client) -> None:
        """Nothing to reload."""

    async def _add_observable(self, fields: Mapping[str, Scalar], client: Client) -> str:
        """No topology file."""
        return ""
