"""The PVs of one ECC server, ``$(P)ECC:<name>:…``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial

from ioc.ca import CommandPv, EnumPv, IntPv, StringArrayPv, TextPv
from ioc.engine import Engine
from ioc.errors import Refused
from ioc.model import Client, ConfigChoice, EccState, Operation, Severity, Transition
from ioc.pvs.boundary import command, handler
from ioc.pvs.group import LOG_LENGTH, MESSAGE_LENGTH, Group, alarm, not_known
from ioc.runlogic.events import RestartProgram, SelectConfig, ServerCommand
from ioc.runlogic.state import State
from ioc.runlogic.subject import ecc
from ioc.states import server_severity

_MAX_OPTIONS = 400
"""Elements of a string array: 16,000 bytes, the limit of old clients."""

_DESCRIPTIONS = {
    Operation.Describe: "Describe this server alone",
    Operation.Prepare: "Prepare this server alone",
    Operation.Configure: "Configure this server alone",
    Operation.Start: "Start this server alone, no run",
    Operation.Stop: "Stop this server alone, run stays open",
    Operation.Pause: "Pause this server alone",
    Operation.Resume: "Resume this server alone",
    Operation.Breakup: "Breakup this server alone",
    Operation.Undo: "Undo one step of this server alone",
    Operation.Reset: "Take this server alone one step back",
}


class EccPvs(Group):
    """State, single commands, configuration and log of one ECC server."""

    def __init__(self, prefix: str, name: str, engine: Engine, read_log: Callable[[], Awaitable[str]]) -> None:
        super().__init__(f"{prefix}ECC:{name}:")
        self._name = name
        self._engine = engine
        states, transitions = [state.name for state in EccState], [transition.label for transition in Transition]
        self._state = self.add(EnumPv, "State", "State last read from the server", states, value=EccState.Unknown)
        self._transition = self.add(EnumPv, "Transition", "Transition in progress", transitions)
        self._online = self.add(EnumPv, "Online", "Server answers", ["Offline", "Online"])
        not_known("UDF", self._state, self._online)
        put_config, put_index = command(engine, partial(_select, name)), handler(self._put_index)
        self._config = self.add(TextPv, "Config", "Configs for describe/prepare/configure", 400, on_put=put_config)
        self._options = self.add(StringArrayPv, "ConfigOptions", "Configurations offered", _MAX_OPTIONS)
        self._list = self.add(TextPv, "ConfigList", "Configurations offered, one per line", LOG_LENGTH)
        self._index = self.add(IntPv, "ConfigIndex", "Index of Config in ConfigOptions", value=-1, on_put=put_index)
        sources = ", ".join(engine.plan.servers[name].sources)
        self.add(TextPv, "Sources", "Data sources of this server", 256, value=sources)
        self.add_message("Last error or result", MESSAGE_LENGTH, lambda state: state.servers[name].message)
        for operation, description in _DESCRIPTIONS.items():
            put = command(engine, partial(ServerCommand, server=name, operation=operation))
            self.add(CommandPv, operation, description, put)
        if engine.plan.servers[name].unit:
            restart = command(engine, partial(RestartProgram, subject=ecc(name)))
            self.add(CommandPv, "Restart", "Restart its program on its host", restart)
        self.add(CommandPv, "RefreshConfigs", "Reload the list of configurations", handler(self._refresh_configs))
        self.add_log_file("server", read_log)
        self.follow(lambda state: (state.servers[name],), self._show)
        self.follow(lambda state: (state.servers[name].offers, state.servers[name].config), self._show_configs)

    def _show(self, state: State) -> None:
        server = state.servers[self._name]
        severity = server_severity(server.state)
        status = "COMM" if severity is Severity.INVALID else ""
        self._state.post(server.state, severity=severity, status=status, timestamp=server.changed_at or None)
        unknown = not (server.online or server.busy)
        self._transition.post(server.doing, severity=alarm(unknown, Severity.INVALID))
        if server.seen:
            self._online.post(int(server.online), severity=alarm(not server.online))

    def _show_configs(self, state: State) -> None:
        server = state.servers[self._name]
        offers = [str(offer) for offer in server.offers]
        self._config.post(str(server.config) if server.config else "")
        self._options.post(offers[:_MAX_OPTIONS])
        self._list.post("\n".join(offers))
        self._index.post(server.offers.index(server.config) if server.config in server.offers else -1)

    async def _put_index(self, client: Client, index: int) -> None:
        offers = self._engine.state.servers[self._name].offers
        if not 0 <= index < len(offers):
            must = f"0 to {len(offers) - 1}" if offers else "absent: the server offers no configurations"
            raise Refused(f"ECC server {self._name}: configuration number is {index}, but must be {must}")
        await self._engine.command(SelectConfig(client, self._name, offers[index]))

    async def _refresh_configs(self, client: Client) -> None:
        await self._engine.refresh_configs(self._name)


def _select(server: str, client: Client, text: str) -> SelectConfig:
    return SelectConfig(client, server, ConfigChoice.parse(text))
