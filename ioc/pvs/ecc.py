"""The PVs of one ECC server, ``$(P)ECC:<name>:…``."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from ioc.ca import CommandPv, EnumPv, IntPv, Pv, StringArrayPv, TextPv
from ioc.engine import Engine
from ioc.errors import Refused
from ioc.model import Client, ConfigChoice, EccState, Severity, Transition
from ioc.pvs.boundary import command, handler
from ioc.pvs.log_file import LogFilePvs
from ioc.pvs.naming import LOG_LENGTH, MESSAGE_LENGTH
from ioc.runlogic.events import SelectConfig, ServerAction, ServerCommand
from ioc.runlogic.state import Server
from ioc.states import server_severity

_MAX_OPTIONS = 400
"""String array elements: 16,000 bytes, what old clients can still take."""

_DESCRIPTIONS = {
    ServerAction.Describe: "Describe this server alone",
    ServerAction.Prepare: "Prepare this server alone",
    ServerAction.Configure: "Configure this server alone",
    ServerAction.Start: "Start this server alone, no run",
    ServerAction.Stop: "Stop this server alone, run stays",
    ServerAction.Pause: "Pause this server alone",
    ServerAction.Resume: "Resume this server alone",
    ServerAction.Breakup: "Breakup this server alone",
    ServerAction.Undo: "Undo one step of this server alone",
    ServerAction.Reset: "One step back, this server alone",
}


class EccPvs:
    """State, single commands, configuration and log of one ECC server."""

    def __init__(self, prefix: str, name: str, engine: Engine, read_log: Callable[[], Awaitable[str]]) -> None:
        self._name = name
        self._engine = engine
        self._shown: Server | None = None
        base = f"{prefix}ECC:{name}:"
        states = [state.name for state in EccState]
        self._state = EnumPv(f"{base}State", "Last state read", states, value=EccState.Unknown)
        self._state.post(EccState.Unknown, severity=Severity.INVALID, status="UDF")
        self._transition = EnumPv(f"{base}Transition", "What it is doing now", [t.label for t in Transition])
        self._online = EnumPv(f"{base}Online", "It answers", ["Offline", "Online"])
        self._online.post(0, severity=Severity.INVALID, status="UDF")
        self._config = TextPv(f"{base}Config", "describe/prepare/configure", 400, on_put=handler(self._put_config))
        self._options = StringArrayPv(f"{base}ConfigOptions", "Configurations offered", _MAX_OPTIONS)
        self._list = TextPv(f"{base}ConfigList", "Configurations offered, one a line", LOG_LENGTH)
        self._index = IntPv(
            f"{base}ConfigIndex", "Choice by number in ConfigOptions", value=-1, on_put=handler(self._put_config_index)
        )
        self._sources = TextPv(f"{base}Sources", "Data sources it controls", 256)
        self._sources.post(", ".join(engine.plan.servers[name].sources))
        self._message = TextPv(f"{base}Message", "Last error or outcome", MESSAGE_LENGTH)
        self._log_file = LogFilePvs(base, "server", read_log)
        self.pvs: tuple[Pv[Any], ...] = (
            self._state,
            self._transition,
            self._online,
            self._config,
            self._options,
            self._list,
            self._index,
            self._sources,
            self._message,
            *(
                CommandPv(
                    f"{base}{action}",
                    _DESCRIPTIONS[action],
                    command(engine, partial(ServerCommand, server=name, action=action)),
                )
                for action in ServerAction
            ),
            CommandPv(f"{base}RefreshConfigs", "Read the configurations again", handler(self._refresh_configs)),
            *self._log_file.pvs,
        )

    def update(self, server: Server) -> None:
        """Show a new state of this server."""
        if server is self._shown:
            return
        self._shown = server
        severity = server_severity(server.state)
        self._state.post(
            server.state,
            severity=severity,
            status="COMM" if severity is Severity.INVALID else "",
            timestamp=server.changed_at or None,
        )
        known = server.online or server.busy
        self._transition.post(server.doing, severity=Severity.NO_ALARM if known else Severity.INVALID)
        if server.seen:
            self._online.post(int(server.online), severity=Severity.NO_ALARM if server.online else Severity.MAJOR)
        self._config.post(str(server.config) if server.config else "")
        self._options.post([str(offer) for offer in server.offers][:_MAX_OPTIONS])
        self._list.post("\n".join(str(offer) for offer in server.offers))
        self._index.post(server.offers.index(server.config) if server.config in server.offers else -1)
        note = server.message
        self._message.post(note.text, severity=note.severity, timestamp=note.at or None)

    async def _put_config(self, client: Client, text: str) -> None:
        await self._select(ConfigChoice.parse(text), client)

    async def _put_config_index(self, client: Client, index: int) -> None:
        offers = self._engine.state.servers[self._name].offers
        if not 0 <= index < len(offers):
            must = f"0 to {len(offers) - 1}" if offers else "absent: the server offers no configurations"
            raise Refused(f"ECC server {self._name}: configuration number is {index}, but must be {must}")
        await self._select(offers[index], client)

    async def _select(self, config: ConfigChoice, client: Client) -> None:
        await self._engine.command(lambda token: SelectConfig(token, client, self._name, config))

    async def _refresh_configs(self, client: Client) -> None:
        await self._engine.refresh_configs(self._name)
