"""``observables.bob``: all observables with what they did in the run, and strip charts."""

from __future__ import annotations

from ioc.screens.bob import Box
from ioc.screens.charts import CHARTS_WIDTH, charts_height
from ioc.screens.lists import SCROLL_BAR, STATISTIC_COLUMNS, STATISTICS_WIDTH, listed
from ioc.screens.page import TOP, page
from ioc.screens.widgets import embedded, panel
from ioc.topology.schema import Topology

_HEIGHT = 922 - TOP


def observables_page(topology: Topology, p: str) -> str:
    """Return the observables; `p` is the prefix as a macro."""
    table = listed(
        "statistic_list.bob",
        STATISTIC_COLUMNS,
        len(topology.observables),
        Box(6, 34, STATISTICS_WIDTH + SCROLL_BAR, _HEIGHT - 40),
    )
    room = Box(6, 34, CHARTS_WIDTH + SCROLL_BAR, _HEIGHT - 40)
    charts = embedded("chart_list", "chart_list.bob", room, scrolls=charts_height(topology) > room.height)
    return page(
        "Observables",
        p,
        [
            panel("In the open or last run", Box(6, TOP, 1208, _HEIGHT), table),
            panel("Last ten minutes", Box(1220, TOP, 674, _HEIGHT), [charts]),
        ],
    )
