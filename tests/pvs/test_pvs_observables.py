"""What the PVs of an observable show."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from ioc.model import ObservableView, Reading, Scalar, Severity, Statistics
from tests.epics import eventually
from tests.pvs.panel import Panel

NOTHING = Statistics(None, None, None, 0, Severity.NO_ALARM, 0.0)


def _view(name: str, reading: Reading | None, **changes: object) -> ObservableView:
    view = ObservableView(
        name=name,
        reading=reading,
        connected=reading is not None and reading.connected,
        units="Torr",
        precision=2,
    )
    return view._replace(**changes)


SHOWN = [
    # name, value, severity and status of the source → value, severity and status of the PV
    ("pressure", 1.5, (Severity.NO_ALARM, "NO_ALARM"), ("1.50", Severity.NO_ALARM, "NO_ALARM")),
    ("pressure", 99.0, (Severity.MAJOR, "HIHI"), ("99.00", Severity.MAJOR, "HIHI")),
    ("pressure", float("nan"), (Severity.NO_ALARM, "NO_ALARM"), ("nan", Severity.INVALID, "UDF")),
    ("pressure", None, (Severity.INVALID, "disconnected"), ("2.50", Severity.INVALID, "COMM")),
    ("pressure", 1.5, (Severity.MINOR, "STATUS_77"), ("1.50", Severity.MINOR, "STATE")),
    ("count", 12, (Severity.NO_ALARM, "NO_ALARM"), ("12", Severity.NO_ALARM, "NO_ALARM")),
    ("count", 2**40, (Severity.NO_ALARM, "NO_ALARM"), ("0", Severity.INVALID, "HWLIMIT")),
    ("count", float("inf"), (Severity.NO_ALARM, "NO_ALARM"), ("0", Severity.INVALID, "HWLIMIT")),
    ("count", float("nan"), (Severity.NO_ALARM, "NO_ALARM"), ("0", Severity.INVALID, "HWLIMIT")),
    ("valve", 1, (Severity.NO_ALARM, "NO_ALARM"), ("open", Severity.NO_ALARM, "NO_ALARM")),
    ("valve", 5, (Severity.NO_ALARM, "NO_ALARM"), ("shut", Severity.INVALID, "HWLIMIT")),
    ("gas", "P10", (Severity.NO_ALARM, "NO_ALARM"), ("P10", Severity.NO_ALARM, "NO_ALARM")),
]


@pytest.mark.timeout(60)
@pytest.mark.parametrize(("name", "value", "alarm", "shown"), SHOWN)
def test_an_observable_mirrors_its_source(
    panel: Panel, name: str, value: Scalar | None, alarm: tuple[Severity, str], shown: tuple[str, Severity, str]
) -> None:
    """Value, alarm and time of the source; what the PV cannot hold is INVALID at once and keeps the last value."""
    labels = ("shut", "open") if name == "valve" else ()
    if name == "pressure":
        panel.tree.show_observables([_view(name, Reading(name, 2.5, Severity.NO_ALARM, "NO_ALARM", 700.0))])
    panel.tree.show_observables([_view(name, Reading(name, value, *alarm, 777.0), labels=labels)])
    pv = panel[f"Obs:{name}:Value"]
    assert (panel.text(f"Obs:{name}:Value"), pv.severity, pv.status) == shown
    assert pv.timestamp == 777.0


def test_a_number_that_was_never_known_is_nan(panel: Panel) -> None:
    """Before its first reading an observable shows no number that could be taken for one, nor do its statistics."""
    for pv in ("Value", "RunMin", "RunMax", "RunMean"):
        assert panel.text(f"Obs:pressure:{pv}") == "nan"
        assert panel[f"Obs:pressure:{pv}"].severity == Severity.INVALID


def test_labels_that_channel_access_cannot_carry_are_cut(panel: Panel) -> None:
    """A source whose state names are too long, too many or empty is still shown, with what fits of them."""
    labels = ("geöffnet und wieder geschlossen worden", "", *(f"s{n}" for n in range(20)))
    reading = Reading("valve", 0, Severity.NO_ALARM, "NO_ALARM", 777.0)
    panel.tree.show_observables([_view("valve", reading, labels=labels)])
    assert panel.text("Obs:valve:Value").startswith("geöffnet und wieder")
    assert panel["Obs:valve:Value"].severity == Severity.NO_ALARM


def test_units_and_digits_follow_the_source(panel: Panel) -> None:
    """Units and precision that the source says are those of value and statistics."""
    reading = Reading("pressure", 1.0, Severity.NO_ALARM, "NO_ALARM", 777.0)
    statistics = replace(NOTHING, minimum=0.5, samples=7)
    panel.tree.show_observables([_view("pressure", reading, units="mbar", precision=4, statistics=statistics)])
    for name in ("Value", "RunMin", "RunMax", "RunMean"):
        assert panel[f"Obs:pressure:{name}"].properties.units == "mbar"
    assert panel.text("Obs:pressure:Value") == "1.0000"
    assert panel.text("Obs:pressure:RunMin") == "0.5000"
    assert panel["Obs:pressure:RunMax"].severity == Severity.INVALID
    assert panel.text("Obs:pressure:Samples") == "7"


def test_a_manual_value_of_another_experiment_is_not_shown(panel: Panel) -> None:
    """When the experiment changes to one where nobody has typed a value yet, there is none."""
    panel.tree.show_observables([_view("gas", Reading("gas", "P10", Severity.NO_ALARM, "NO_ALARM", 777.0))])
    panel.tree.show_observables([_view("gas", None)])
    assert panel.text("Obs:gas:Value") == ""
    assert panel["Obs:gas:Value"].severity == Severity.INVALID


async def test_a_manual_observable_is_shown_before_its_put_is_answered(panel: Panel) -> None:
    """Who reads a manual observable right after the put has the new value."""
    panel.views = [_view("gas", Reading("gas", "P10", Severity.NO_ALARM, "NO_ALARM", 777.0))]
    await panel.put("Obs:gas:Value", "P10")
    assert panel.set == [("gas", "P10")]
    assert panel.text("Obs:gas:Value") == "P10"


async def test_statistics_are_shown_while_the_source_is_silent(panel: Panel) -> None:
    """A mean over time changes without an update; it is shown once a second."""
    reading = Reading("pressure", 1.0, Severity.NO_ALARM, "NO_ALARM", 777.0)
    panel.views = [_view("pressure", reading, statistics=replace(NOTHING, mean=0.25))]
    clock = asyncio.create_task(panel.tree.tick(panel.server))
    await eventually(lambda: panel["Obs:pressure:RunMean"].value == 0.25)
    panel.views = [_view("pressure", reading, statistics=replace(NOTHING, mean=0.5))]
    await eventually(lambda: panel["Obs:pressure:RunMean"].value == 0.5)
    clock.cancel()
    await asyncio.wait([clock])


def test_a_value_without_statistics_leaves_them(panel: Panel) -> None:
    """Where only the value is told, the statistics stay what they were."""
    reading = Reading("pressure", 1.0, Severity.NO_ALARM, "NO_ALARM", 777.0)
    panel.tree.show_observables([_view("pressure", reading, statistics=replace(NOTHING, mean=0.25, samples=3))])
    panel.tree.show_observables([_view("pressure", reading._replace(value=2.0))])
    assert panel.text("Obs:pressure:Value") == "2.00"
    assert panel["Obs:pressure:RunMean"].value == 0.25
    assert panel["Obs:pressure:Samples"].value == 3


def test_the_entry_of_a_value_that_is_forgotten_is_empty(panel: Panel) -> None:
    """What was typed does not stand beside "not set" after a change of the experiment."""
    panel.tree.show_observables([_view("gas", Reading("gas", "P10", Severity.NO_ALARM, "NO_ALARM", 777.0))])
    assert panel.text("Obs:gas:Entry") == "P10"
    panel.tree.show_observables([_view("gas", None)])
    assert panel.text("Obs:gas:Entry") == ""
