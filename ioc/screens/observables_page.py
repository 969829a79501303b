"""``observables.bob``: all observables with what they did in the run, and strip charts."""

from __future__ import annotations

from ioc.screens.bob import Box
from ioc.screens.charts import CHARTS_WIDTH
from ioc.screens.lists import SCROLL_BAR, STATISTIC_COLUMNS, STATISTICS_WIDTH, column_headings
from ioc.screens.page import TOP, page
from ioc.screens.widgets import embedded, panel

_HEIGHT = 922 - TOP


def observables_page(p: str) -> str:
    """Return the observables; `p` is the prefix as a macro."""
    table = [
        *column_headings(STATISTIC_COLUMNS, 6, 34),
        embedded("statistic_list.bob", "statistic_list.bob", Box(6, 58, STATISTICS_WIDTH + SCROLL_BAR, _HEIGHT - 64)),
    ]
    charts = [embedded("chart_list.bob", "chart_list.bob", Box(6, 34, CHARTS_WIDTH + SCROLL_BAR, _HEIGHT - 40))]
    return page(
        "Observables",
        p,
        [
            panel("In the open or last run", Box(6, TOP, 1208, _HEIGHT), table),
            panel("Last ten minutes", Box(1220, TOP, 674, _HEIGHT), charts),
        ],
    )
