"""``expert.bob``: how the IOC itself does, and what only an expert changes."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box
from ioc.screens.page import TOP, page
from ioc.screens.widgets import LINE, caption, command, entry, label, log, panel, reading, text

_HEALTH = (
    ("Running since", "StartTime"),
    ("Up for", "UptimeSeconds"),
    ("Heartbeat", "Heartbeat"),
    ("Version", "Version"),
    ("Detector is", "Simulated"),
    ("Processor", "CPUPercent"),
    ("Memory", "MemoryMB"),
    ("PVs served", "PVs"),
    ("Clients connected", "Clients"),
    ("Clients dropped, too slow", "DroppedClients"),
    ("Longest queue to a client", "ClientQueueMax"),
    ("Database: rows waiting", "DatabaseQueue"),
    ("Database: rows written", "DatabaseRate"),
    ("Database: rows lost", "DatabaseDropped"),
)


def expert_page(p: str) -> str:
    """Return the expert's screen; `p` is the prefix as a macro."""
    return page(
        "Expert",
        p,
        [
            panel("Health of the IOC", Box(6, TOP, 560, 922 - TOP), _health(p)),
            panel("Installation", Box(572, TOP, 560, 922 - TOP), _installation(p)),
            panel("Log, newest first", Box(1138, TOP, 756, 922 - TOP), [log(f"{p}Log:Lines", Box(6, 36, 744, 820))]),
        ],
    )


def _health(p: str) -> list[ET.Element]:
    rows = [
        widget
        for i, (title, name) in enumerate(_HEALTH)
        for widget in (
            caption(title, Box(10, 40 + 38 * i, 200, LINE)),
            reading(f"{p}IOC:{name}", Box(216, 40 + 38 * i, 332, LINE)),
        )
    ]
    y = 40 + 38 * len(_HEALTH)
    return [
        *rows,
        caption("Database says", Box(10, y, 200, LINE)),
        text(f"{p}IOC:DatabaseMessage", Box(216, y, 332, 120), lines=True),
    ]


def _installation(p: str) -> list[ET.Element]:
    return [
        caption("Experiment", Box(10, 40, 110, 34)),
        entry(f"{p}Experiment", Box(124, 40, 424, 34), as_text=True),
        label(
            "Runs are numbered and filed under the experiment. It can change while every ECC server is Idle and no "
            "run is open.",
            Box(10, 80, 538, 66),
        ),
        command(
            "Read the topology again",
            f"{p}IOC:Reload",
            Box(10, 170, 260, 44),
            confirm="Read topology.yaml again?",
        ),
        label(
            "Observables may change at any time, everything else while every ECC server is Idle. A file with an error "
            "changes nothing.",
            Box(10, 222, 538, 66),
        ),
        caption("IOC says", Box(10, 310, 110, LINE)),
        text(f"{p}Message", Box(124, 310, 424, 90), lines=True),
    ]
