"""``main.bob``: everything that the shift needs on one screen."""

from __future__ import annotations

import xml.etree.ElementTree as ET

from ioc.screens.bob import Box
from ioc.screens.charts import overview
from ioc.screens.lists import (
    ROUTER_COLUMNS,
    ROUTERS_WIDTH,
    SCROLL_BAR,
    SERVER_COLUMNS,
    SERVERS_WIDTH,
    VALUE_COLUMNS,
    VALUES_WIDTH,
    listed,
)
from ioc.screens.page import TOP, page
from ioc.screens.palette import BUTTON, HEADING, HUGE, LARGE, READBACK
from ioc.screens.steps import detector_steps, run_steps
from ioc.screens.widgets import (
    LINE,
    caption,
    choice,
    command,
    entry,
    heading,
    lamp,
    log,
    panel,
    reading,
    text,
)
from ioc.topology.schema import Topology

_LOWER = 490
_LOG = 752
_END = 922


def main_page(topology: Topology, p: str) -> str:
    """Return the shift's screen; `p` is the prefix as a macro."""
    servers = listed(
        "ecc_list.bob", SERVER_COLUMNS, len(topology.ecc_servers), Box(6, 32, SERVERS_WIDTH + SCROLL_BAR, 390)
    )
    routers = listed(
        "router_list.bob", ROUTER_COLUMNS, len(topology.data_routers), Box(6, 32, ROUTERS_WIDTH + SCROLL_BAR, 390)
    )
    values = listed(
        "value_list.bob", VALUE_COLUMNS, len(topology.observables), Box(6, 32, VALUES_WIDTH + SCROLL_BAR, 394)
    )
    can_resume = all(server.supports_resume for server in topology.ecc_servers)
    chart = overview(topology, p, Box(6, 32, 796, 220))
    return page(
        "AT-TPC",
        p,
        [
            panel(
                "Run",
                Box(6, TOP, 608, _END - TOP),
                [*_run(p), *detector_steps(p, 658), *run_steps(p, 732, can_resume=can_resume)],
            ),
            panel("ECC servers", Box(620, TOP, 644, 424), servers),
            panel("Data routers", Box(1270, TOP, 624, 424), routers),
            panel("Observables", Box(620, _LOWER, 460, _END - _LOWER), values),
            panel("Last ten minutes", Box(1086, _LOWER, 808, 256), [chart]),
            panel("Log", Box(1086, _LOG, 808, _END - _LOG), _log(p)),
        ],
    )


def _run(p: str) -> list[ET.Element]:
    """Return what the run is, what the detector is, and what keeps the next run from starting."""
    return [
        caption("Number", Box(10, 32, 120, 22)),
        caption("State", Box(146, 32, 220, 22)),
        caption("Duration", Box(382, 32, 216, 22)),
        reading(f"{p}Run:Number", Box(10, 54, 130, 54), font=HUGE, centred=True),
        reading(f"{p}Run:State", Box(146, 54, 230, 54), font=HUGE, centred=True),
        reading(f"{p}Run:DurationText", Box(382, 54, 216, 54), font=HUGE, centred=True),
        caption("Title", Box(10, 118, 76, 34)),
        entry(f"{p}Run:Title", Box(90, 118, 508, 34), as_text=True, font=HEADING),
        caption("Class", Box(10, 158, 76, LINE)),
        choice(f"{p}Run:Class", Box(90, 158, 190, LINE)),
        caption("Next number", Box(296, 158, 96, LINE)),
        reading(f"{p}Run:NextNumber", Box(394, 158, 204, LINE)),
        caption("Started", Box(10, 194, 76, LINE)),
        reading(f"{p}Run:StartTime", Box(90, 194, 214, LINE)),
        caption("Stopped", Box(314, 194, 66, LINE)),
        reading(f"{p}Run:StopTime", Box(384, 194, 214, LINE)),
        caption("Run says", Box(10, 230, 76, LINE)),
        text(f"{p}Run:Message", Box(90, 230, 508, 66), lines=True),
        heading("Detector", Box(10, 308, 130, 40)),
        reading(f"{p}State", Box(146, 308, 230, 40), font=LARGE, centred=True),
        lamp(f"{p}Busy", Box(382, 308, 216, 40), {"no transition": READBACK, "in transition": BUTTON}),
        caption("Detector says", Box(10, 356, 94, LINE)),
        text(f"{p}Message", Box(108, 356, 490, 66), lines=True),
        heading("May a run start?", Box(10, 434, 160, LINE)),
        reading(f"{p}Run:CanStart", Box(174, 434, 66, LINE), centred=True),
        caption("If not, why:", Box(256, 434, 120, LINE)),
        text(f"{p}Run:BlockedBy", Box(10, 470, 588, 176), lines=True),
    ]


def _log(p: str) -> list[ET.Element]:
    return [
        caption("Errors", Box(540, 3, 50, 26)),
        reading(f"{p}Log:Errors", Box(592, 3, 70, 26), centred=True),
        command("Clear", f"{p}Log:Clear", Box(680, 2, 118, 28)),
        log(f"{p}Log:Lines", Box(6, 34, 796, 130)),
    ]
