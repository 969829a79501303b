"""The PVs of the IOC's own health, ``$(P)IOC:…``."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping

import psutil

from ioc import __version__
from ioc.ca import CaServer, CommandPv, EnumPv, FloatPv, IntPv, StringPv, TextPv
from ioc.model import Client, Severity
from ioc.pvs.boundary import handler
from ioc.pvs.group import Group, alarm, local_time
from ioc.rundb import StoreHealth


class HealthPvs(Group):
    """Heartbeat, load, clients and database; updated once a second."""

    def __init__(
        self,
        prefix: str,
        *,
        simulated: bool,
        database: Callable[[], StoreHealth],
        reload: Callable[[Client], Awaitable[None]],
    ) -> None:
        super().__init__(f"{prefix}IOC:")
        self._database = database
        self._process = psutil.Process()
        self._started = time.monotonic()
        self._heartbeat = self.add(IntPv, "Heartbeat", "Counts once a second")
        self._time = self.add(StringPv, "Time", "Local time of the IOC")
        self._uptime = self.add(FloatPv, "UptimeSeconds", "Time since the IOC started", units="s", precision=0)
        self.add(StringPv, "Version", "Version of attpc-ioc", value=__version__)
        self.add(StringPv, "StartTime", "Start of the IOC, ISO 8601", value=local_time(time.time()))
        self._cpu = self.add(FloatPv, "CPUPercent", "CPU use, 100 = one core", units="%", precision=1, high=80, hihi=95)
        self._memory = self.add(FloatPv, "MemoryMB", "Resident memory", units="MB", precision=1)
        self._clients = self.add(IntPv, "Clients", "Channel Access clients connected")
        self._dropped = self.add(IntPv, "DroppedClients", "Clients dropped for not reading")
        self._client_queue = self.add(IntPv, "ClientQueueMax", "Longest queue of updates to a client")
        self._others = self.add(TextPv, "OtherServers", "Other servers with the same PV names", 128)
        self._pvs = self.add(IntPv, "PVs", "PVs served")
        detector = self.add(EnumPv, "Simulated", "The detector is simulated", ["Real", "Simulated"])
        detector.post(int(simulated), severity=alarm(simulated, Severity.MINOR))
        self._db_queue = self.add(IntPv, "DatabaseQueue", "Rows waiting to be written")
        self._db_rate = self.add(FloatPv, "DatabaseRate", "Rows written per second", units="1/s", precision=1)
        self._db_dropped = self.add(IntPv, "DatabaseDropped", "Rows dropped since the start")
        self._db_log = self.add(FloatPv, "DatabaseWalMB", "Size of the database's log file", units="MB", precision=1)
        self._db_message = self.add(TextPv, "DatabaseMessage", "Why the database cannot be written", 512)
        self._alarms = self.add(TextPv, "Alarms", "Everything in alarm, worst first", 256)
        self._to_mend = {"DatabaseMessage": self._db_message, "OtherServers": self._others}
        self.add(CommandPv, "Reload", "Reload the topology", handler(reload))

    def alarms(self) -> dict[str, int]:
        """Return the severity of each PV that shows a fault of the IOC; a demo and a busy processor are none."""
        return {f"IOC:{name}": pv.severity for name, pv in self._to_mend.items()}

    def show_alarms(self, alarms: Mapping[str, int]) -> None:
        """Show what is in alarm: severities by name."""
        worst_first = sorted(alarms, key=lambda name: -alarms[name])
        text = f"{len(alarms)} in alarm: {', '.join(worst_first)}" if alarms else "no alarm"
        self._alarms.post(text, severity=Severity(max(alarms.values(), default=0)))

    def tick(self, server: CaServer) -> None:
        self._heartbeat.post((self._heartbeat.value + 1) % 2**31)
        self._time.post(time.strftime("%a %d %b %H:%M:%S"))
        self._uptime.post(float(int(time.monotonic() - self._started)))
        self._measure_process()
        stats = server.stats()
        self._clients.post(stats.clients)
        self._dropped.post(stats.dropped_clients)
        self._client_queue.post(stats.queue_high_water)
        self._others.post(", ".join(stats.other_servers), severity=alarm(stats.other_servers))
        self._pvs.post(stats.pvs)
        database = self._database()
        warning = alarm(database.warning, Severity.MINOR)
        self._db_queue.post(database.queued)
        self._db_rate.post(database.written_per_second)
        self._db_dropped.post(database.dropped, severity=alarm(database.dropped))
        self._db_log.post(database.log_bytes / 1e6, severity=warning)
        self._db_message.post(database.error or database.warning, severity=max(alarm(database.error), warning))

    def _measure_process(self) -> None:
        try:
            self._cpu.post(self._process.cpu_percent())
            self._memory.post(self._process.memory_info().rss / 1e6)
        except (psutil.Error, OSError):  # no more files can be opened: still show the other PVs
            for pv in (self._cpu, self._memory):
                pv.post(pv.value, severity=Severity.INVALID, status="READ")
