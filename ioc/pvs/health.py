"""The PVs of the IOC's own health, ``$(P)IOC:…``."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import psutil

from ioc import __version__
from ioc.ca import CaServer, CommandPv, EnumPv, FloatPv, IntPv, Pv, StringPv, TextPv
from ioc.model import Client, Severity
from ioc.pvs.boundary import handler
from ioc.pvs.naming import local_time
from ioc.rundb import StoreHealth


class HealthPvs:
    """Heartbeat, load, clients and database; updated once a second."""

    def __init__(
        self,
        prefix: str,
        *,
        simulated: bool,
        database: Callable[[], StoreHealth],
        reload: Callable[[Client], Awaitable[None]],
    ) -> None:
        self._database = database
        self._process = psutil.Process()
        self._started = time.time()
        base = f"{prefix}IOC:"
        self._heartbeat = IntPv(f"{base}Heartbeat", "Counts once a second")
        self._uptime = FloatPv(f"{base}UptimeSeconds", "Since the start of the IOC", units="s", precision=0)
        version = StringPv(f"{base}Version", "Version of attpc-ioc", value=__version__)
        start_time = StringPv(f"{base}StartTime", "Start of the IOC, ISO 8601", value=local_time(self._started))
        self._cpu = FloatPv(f"{base}CPUPercent", "Of one core", units="%", precision=1, high=80, hihi=95)
        self._memory = FloatPv(f"{base}MemoryMB", "Resident memory", units="MB", precision=1)
        self._clients = IntPv(f"{base}Clients", "Channel Access clients connected")
        self._dropped = IntPv(f"{base}DroppedClients", "Clients dropped for taking nothing")
        self._client_queue = IntPv(f"{base}ClientQueueMax", "Longest queue of updates to a client")
        self._others = TextPv(f"{base}OtherServers", "Other servers with PVs of the same names", 128)
        self._pvs = IntPv(f"{base}PVs", "PVs served")
        self._simulated = EnumPv(f"{base}Simulated", "Whether the detector is simulated", ["Real", "Simulated"])
        self._simulated.post(int(simulated), severity=Severity.MINOR if simulated else Severity.NO_ALARM)
        self._db_queue = IntPv(f"{base}DatabaseQueue", "Rows waiting to be written")
        self._db_rate = FloatPv(f"{base}DatabaseRate", "Rows written per second", units="1/s", precision=1)
        self._db_dropped = IntPv(f"{base}DatabaseDropped", "Rows given up since the start")
        self._db_log = FloatPv(f"{base}DatabaseWalMB", "What the database's log file takes", units="MB", precision=1)
        self._db_message = TextPv(f"{base}DatabaseMessage", "Why the database cannot be written", 512)
        self.pvs: tuple[Pv[Any], ...] = (
            self._heartbeat,
            self._uptime,
            version,
            start_time,
            self._cpu,
            self._memory,
            self._clients,
            self._dropped,
            self._client_queue,
            self._others,
            self._pvs,
            self._simulated,
            self._db_queue,
            self._db_rate,
            self._db_dropped,
            self._db_log,
            self._db_message,
            CommandPv(f"{base}Reload", "Read the topology again", handler(reload)),
        )

    def tick(self, server: CaServer) -> None:
        """Measure; called once a second."""
        self._heartbeat.post((self._heartbeat.value + 1) % 2**31)
        self._uptime.post(float(int(time.time() - self._started)))
        self._measure_process()
        stats = server.stats()
        self._clients.post(stats.clients)
        self._dropped.post(stats.dropped_clients)
        self._client_queue.post(stats.queue_high_water)
        self._others.post(", ".join(stats.rivals), severity=Severity.MAJOR if stats.rivals else Severity.NO_ALARM)
        self._pvs.post(stats.pvs)
        database = self._database()
        self._db_queue.post(database.queued)
        self._db_rate.post(database.written_per_second)
        self._db_dropped.post(database.dropped, severity=Severity.MAJOR if database.dropped else Severity.NO_ALARM)
        self._db_log.post(database.log_bytes / 1e6, severity=Severity.MINOR if database.warning else Severity.NO_ALARM)
        severity = Severity.MAJOR if database.error else Severity.MINOR if database.warning else Severity.NO_ALARM
        self._db_message.post(database.error or database.warning, severity=severity)

    def _measure_process(self) -> None:
        try:
            self._cpu.post(self._process.cpu_percent())
            self._memory.post(self._process.memory_info().rss / 1e6)
        except (psutil.Error, OSError):  # no file can be opened any more: what there is to say is more important
            for pv in (self._cpu, self._memory):
                pv.post(pv.value, severity=Severity.INVALID, status="READ")
