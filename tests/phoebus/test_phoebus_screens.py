"""The screens in Phoebus' own display runtime, in front of a simulated detector, through all that a shift meets.

One Phoebus and one IOC serve all tests of this file, which run in its order: from an IOC that had no run yet to one
that is gone. What the pages offer is in `tables`.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import re
import time
from collections.abc import Callable, Iterable
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

import pytest

from ioc.app.listing import describe_pvs
from tests.phoebus import extras, large, stock, tables
from tests.phoebus.conftest import PREFIX, SERVERS, TOPOLOGY, Detector
from tests.phoebus.display_runtime import DisplayRuntime, LateError, Seen, until
from tests.phoebus.files_beside import FILES
from tests.phoebus.pages import OPI, ROOT, SCREENS, asks, controls_on, kind_of, links_on, pages, write_screens
from tests.screens.screens_reader import Page, Shown, expand

pytestmark = pytest.mark.timeout(1800)

SERVED = {pv.name: pv for pv in describe_pvs(TOPOLOGY)}
PAGES = pages()
KINDS = {kind_of(page): page for page in PAGES.values()} | {
    kind_of(PAGES[name]): PAGES[name] for name in tables.PICTURED
}
"""One page of each kind: of those that each component has, that of the faulty one."""
EDITED = ROOT / "ioc/screens/pages"
FIRST_RULES_SECONDS = 300.0
"""Jython, which carries out the rules, starts once in a process, in about 14 s on a fast machine."""
RULES_SECONDS = 120.0
"""How long rules may take on a busy machine; on an idle one it is about half a second."""
PATIENCE = 120.0
"""Seconds that a value may take to the IOC, or from there to the screen, on a busy machine."""
SETTLED_SECONDS = 0.3
OPENINGS = 10
"""Without the script of the header that has panes laid out, 3 to 6 of 8 openings of the main screen lack texts."""
DRAWN_SECONDS = 30.0
"""How long it may take on a busy machine until a text is drawn; on an idle one it is a second."""
DEATH_SECONDS = 3.0
"""After its death, nothing of the IOC looks healthy."""


def row_of(pv: str) -> str:
    """Return the row of the table that says what is typed into an entry, the PV itself if none does."""
    return next((pattern for pattern in tables.FIELDS if fnmatch(pv, pattern)), pv)


FIELDS = {
    (name, widget.file, widget.element.findtext("name"), row_of(pv.removeprefix(PREFIX))): (
        name,
        pv.removeprefix(PREFIX),
        widget,
    )
    for name, page in KINDS.items()
    for kind in ("textentry", "combo")
    for pv, widget in controls_on(page)
    if widget.kind == kind
}
"""Page, PV and widget, one of those that are made alike; texts first, since what a list switches on may need one."""
OTHERS = [name for name, page in PAGES.items() if page not in KINDS.values()]
"""Pages that are one of `KINDS` with another name."""
LOOKED_AT = [(situation, name) for situation in tables.SITUATIONS for name in sorted(PAGES, key=OTHERS.__contains__)]
LINKS: dict[tuple[str, str], tuple[list[Page], Page]] = {}
"""For each file that has a button to another kind of page: the pages that embed it, and where the button leads."""
for page in KINDS.values():
    for file, target in links_on(page):
        LINKS.setdefault((file, kind_of(target)), ([], target))[0].append(page)


def expanded(control: str, page: Page) -> str:
    """Return a control of the tables as the PV that it is on a page."""
    return expand(control, {"NAME": "", **dict(page.macros)})


def enabled_on(page: Page, situation: str) -> set[str]:
    """Return the PVs that can be written from a page."""
    table = tables.ENABLED[kind_of(page)]
    offered = {control for control, situations in table.items() if situation in situations}
    faulty = dict(page.macros).get("NAME") == tables.FAULTY
    if situation == tables.FAILED and faulty:
        offered = set(tables.LOST)
    if situation == tables.PREPARING and kind_of(page) == "ecc" and not faulty:
        offered = set(tables.AT_REST)
    return {PREFIX + expanded(control, page) for control in offered}


def expect_enabled(phoebus: DisplayRuntime, expected: set[str]) -> None:
    """Wait until exactly this can be operated; else say what each rule that is wrong waits for."""
    looks: list[str] = []

    def as_expected() -> bool:
        began = time.monotonic()
        now = phoebus.enabled()
        looks.append(f"{len(now)} in {time.monotonic() - began:.1f} s")
        return now == expected

    with contextlib.suppress(LateError):
        until(as_expected, RULES_SECONDS, "")
    now = phoebus.enabled()
    if now != expected:
        why = [f"{pv}: {state}" for pv, state in phoebus.controls() if pv in now ^ expected]
        said = f"wrongly enabled: {sorted(now - expected)}; wrongly disabled: {sorted(expected - now)}"
        raise AssertionError("\n".join([f"{said}; enabled at each look: {', '.join(looks)}", *why]))


# --- without an IOC


@pytest.mark.parametrize("name", KINDS)
def test_tables(name: str) -> None:
    """The table knows every control of a page, and no other; every button is pressed somewhere."""
    page = KINDS[name]
    controls = {pv.removeprefix(PREFIX): widget for pv, widget in controls_on(page)}
    assert {expanded(control, page) for control in tables.ENABLED[name]} == set(controls)
    pressed = {press.control for press in tables.ROUTE if PAGES[press.page] == page}
    pressed |= {expanded(control, page) for control in tables.NOT_PRESSED} & set(controls)
    assert pressed == {pv for pv, widget in controls.items() if widget.kind not in {"textentry", "combo"}}


def test_what_phoebus_logs_at_its_start(runtime: DisplayRuntime) -> None:
    """Before a page is opened, Phoebus warns of JavaFX and of nothing else; a display with nothing adds nothing."""
    runtime.do("open", str(stock.STOCK / "empty.bob"))
    faults = runtime.do("faults")
    assert len(faults) == 1
    assert re.fullmatch(stock.STARTED, faults[0])


@pytest.mark.parametrize(
    ("display", "command", "said"), [("plot", "open", stock.SKIPPED), ("entry", "undrawn", stock.UNDRAWN)]
)
def test_what_phoebus_logs_by_itself(runtime: DisplayRuntime, display: str, command: str, said: str) -> None:
    """What is ignored comes from a display with nothing of ours, when JavaFX's thread does not draw it at once."""

    def is_said() -> bool:
        runtime.do(command, str(stock.STOCK / f"{display}.bob"))
        runtime.do("busy", "1")
        return any(re.fullmatch(said, fault) for fault in runtime.do("faults"))

    until(is_said, PATIENCE, f"{display} makes Phoebus say {said}")
    runtime.do("open", str(stock.STOCK / "empty.bob"))


def test_model(phoebus: DisplayRuntime) -> None:
    """Phoebus reads every display and class file, with the macros it is shown with, as it was meant."""
    for page in SCREENS.pages:
        phoebus.do("check", str(OPI / page.file), *(f"{name}={value}" for name, value in page.macros))
    for file in OPI.glob("*.bcf"):
        phoebus.do("check", str(file))


@pytest.mark.parametrize("page", sorted(EDITED.glob("*.b[oc][bf]")), ids=lambda page: page.name)
def test_saved_by_the_editor(phoebus: DisplayRuntime, tmp_path: Path, page: Path) -> None:
    """Phoebus' editor opens a page and saves it as it is, so that a change shows as what was changed and no more."""
    phoebus.do("save", str(page), str(tmp_path / page.name))
    assert (tmp_path / page.name).read_text(encoding="utf-8") == page.read_text(encoding="utf-8")


def test_what_caj_logs_by_itself(runtime: DisplayRuntime, detector: Detector, tmp_path: Path) -> None:
    """What is ignored at the end of a page comes from plain text updates, too, that are closed while they begin."""
    del detector  # it serves
    many = tmp_path / "many.bob"
    names = [f"{PREFIX}ECC:{server}:{name}" for server in SERVERS for name in ("State", "Message", "Config", "Log")]
    updates = "".join(
        f'<widget type="textupdate" version="2.0.0"><name>{n}</name><pv_name>{name}</pv_name><y>{20 * n}</y></widget>'
        for n, name in enumerate(names)
    )
    many.write_text(f'<display version="2.0.0"><name>Text updates</name>{updates}</display>')
    pauses = itertools.cycle(milliseconds / 1000 for milliseconds in range(0, 30, 2))

    def is_said() -> bool:
        runtime.do("open", str(many))
        time.sleep(next(pauses))  # the moment varies; it decides nothing
        runtime.do("open", str(stock.STOCK / "empty.bob"))
        return any(re.fullmatch(stock.DESTROYED, fault) for fault in runtime.do("faults"))

    until(is_said, PATIENCE, f"text updates make CAJ say {stock.DESTROYED}")


def test_what_a_pv_logs_by_itself(runtime: DisplayRuntime, detector: Detector) -> None:
    """A PV of Phoebus, without any display, warns when its server answers before it has noted its channel."""
    del detector  # it serves
    runtime.do("open", str(stock.STOCK / "empty.bob"))

    def is_said() -> bool:
        runtime.do("late", f"{PREFIX}State")
        return any(re.fullmatch(stock.SUBSCRIBED, fault) for fault in runtime.do("faults"))

    until(is_said, PATIENCE, f"a PV says {stock.SUBSCRIBED}")


def test_what_a_closed_connection_logs(runtime: DisplayRuntime, detector: Detector) -> None:
    """CAJ, without Phoebus, logs an error when a connection is closed while it handles what came on it."""
    del detector  # it serves
    runtime.do("closed", f"{PREFIX}State")
    faults: list[str] = []

    def is_said() -> bool:
        faults.extend(runtime.do("faults"))
        return any(re.fullmatch(stock.CANCELLED, fault) for fault in faults)

    until(is_said, PATIENCE, f"CAJ says {stock.CANCELLED}")


# --- an IOC that had no run yet


def test_nothing_can_be_operated_before_its_rule(phoebus: DisplayRuntime, detector: Detector) -> None:
    """From the moment a page opens, while Jython starts, too, only what makes sense is ever enabled."""
    detector.idle()
    assert phoebus.page is None, "Jython starts with the first page, which an earlier test has opened"
    phoebus.open(PAGES["main"])
    expected = enabled_on(PAGES["main"], tables.IDLE)

    def all_enabled() -> bool:
        enabled = phoebus.enabled()
        assert enabled <= expected
        return enabled == expected

    until(all_enabled, FIRST_RULES_SECONDS, "the rules of the main screen")


def test_main_is_complete(phoebus: DisplayRuntime, detector: Detector, pictures: Path) -> None:
    """How long the main screen takes, rules and all, is in ``seconds-main.txt``: at most 3 s on an idle machine.

    Jython has started then, as after the first page that a Phoebus opens.
    """
    detector.idle()
    expected = enabled_on(PAGES["main"], tables.IDLE)
    seconds: list[float] = []
    for _ in range(6):
        phoebus.show(PAGES["interlocks"])
        began = time.monotonic()
        phoebus.show(PAGES["main"])
        until(lambda: phoebus.enabled() == expected, FIRST_RULES_SECONDS, "the rules of the main screen")
        seconds.append(time.monotonic() - began)
    texts = " ".join(f"{each:.1f}" for each in seconds[1:])
    (pictures / "seconds-main.txt").write_text(f"{texts} (load {os.getloadavg()[0]:.1f})\n")


def test_every_text_is_drawn(phoebus: DisplayRuntime, detector: Detector) -> None:
    """However often the main screen is opened, each text is drawn, also one whose value does not change afterwards."""
    detector.idle()
    expected = enabled_on(PAGES["main"], tables.IDLE)
    for _ in range(OPENINGS):
        phoebus.show(PAGES["main"])
        until(lambda: phoebus.enabled() == expected, RULES_SECONDS, "the rules of the main screen")
        settle(phoebus)
        expect_drawn(phoebus)


@pytest.mark.parametrize("name", KINDS)
def test_before_the_first_run(phoebus: DisplayRuntime, detector: Detector, name: str) -> None:
    """Nothing can be done that needs a run; where a number is missing and a value is not set, words say so."""
    phoebus.look_at(KINDS[name])
    not_yet = {PREFIX + pv for pv in tables.NOT_YET}
    expect_enabled(phoebus, enabled_on(KINDS[name], tables.IDLE) - not_yet)
    assert [tooltip for tooltip in phoebus.do("tooltips") if not tooltip.rpartition("\t")[2].strip()] == []
    for words, (names, hidden) in tables.WORDS.items():
        if name in names:
            until(lambda: words in phoebus.visible(), PATIENCE, f"{name} says {words}")  # noqa: B023
            until(lambda: PREFIX + hidden not in phoebus.visible(), PATIENCE, f"{name} has nothing else to say")  # noqa: B023


def test_the_history_before_the_first_run(phoebus: DisplayRuntime, detector: Detector) -> None:
    """The table of the runs says that there is none."""
    phoebus.look_at(PAGES["history"])
    until(lambda: [row[:2] for row in phoebus.rows("Runs")[1:]] == [["", "no run yet"]], PATIENCE, "no run yet")


@pytest.mark.parametrize("file", tables.READERS)
def test_files_beside_the_screens(
    phoebus: DisplayRuntime, detector: Detector, without: frozenset[str], file: str
) -> None:
    """The part of Phoebus for which a file is meant reads from it what the file says, and every PV has a value."""
    reader, part = tables.READERS[file]
    if part in without:
        pytest.skip(f"no Maven repository at hand has org.phoebus:{part}:5.0.5 (tests/phoebus/README.md)")
    expected = FILES[file]((OPI / file).read_text(encoding="utf-8"))
    assert expected
    assert sorted(phoebus.read(reader, OPI / file)) == sorted(expected)


# --- every control


@pytest.mark.parametrize(
    ("page", "pv", "widget"), FIELDS.values(), ids=lambda each: each if isinstance(each, str) else each.kind
)
def test_field(phoebus: DisplayRuntime, after_a_run: Detector, page: str, pv: str, widget: Shown) -> None:
    """Whatever is typed or chosen arrives, and is shown as it is read back; what is refused leaves what was."""
    detector = after_a_run
    phoebus.look_at(KINDS[page])
    if widget.kind == "combo":
        choices(phoebus, detector, pv, asks=asks(widget))
        return
    field = tables.FIELDS[row_of(pv)]
    message = field.message.replace("*", pv.split(":")[1]) if "*" in field.message else field.message
    for text in field.good:
        phoebus.type(PREFIX + pv, text)
        arrived(phoebus, detector, pv, text)
    for text in field.bad:
        refused(phoebus, detector, pv, text, message)
        phoebus.type(PREFIX + pv, field.good[0])
        arrived(phoebus, detector, pv, field.good[0])


def choices(phoebus: DisplayRuntime, detector: Detector, pv: str, *, asks: bool) -> None:
    """Choose each item of a list, the present one last; if it asks, nothing is written before the answer is Yes."""
    before, puts = detector.text(pv), detector.puts(pv, "ok")
    others = [state for state in SERVED[PREFIX + pv].states if state != before]
    if asks:
        phoebus.choose(PREFIX + pv, others[0], "no")
    for state in (*others, before):
        phoebus.choose(PREFIX + pv, state, "yes" if asks else "none")
        arrived(phoebus, detector, pv, state)
    until(lambda: len(detector.puts(pv, "ok")) == len(puts) + len(others) + 1, PATIENCE, "each is written once")


def arrived(phoebus: DisplayRuntime, detector: Detector, pv: str, text: str) -> None:
    """Wait until the IOC has a value, and Phoebus shows it."""
    if SERVED[PREFIX + pv.removesuffix(".VAL$")].type in {"int", "float"}:
        until(lambda: detector.number(pv) == float(text), PATIENCE, f"{pv} is {text}")
        until(lambda: float(phoebus.shown(PREFIX + pv).split()[0]) == float(text), PATIENCE, f"Phoebus shows {text}")
    else:
        until(lambda: detector.text(pv) == text, PATIENCE, f"{pv} is {text!r}")
        until(lambda: phoebus.shown(PREFIX + pv) == text, PATIENCE, f"Phoebus shows {text!r}")


def refused(phoebus: DisplayRuntime, detector: Detector, pv: str, text: str, message: str) -> None:
    """Type a text: `message` says why not, and IOC and Phoebus keep what was."""
    before, said, refusals = detector.text(pv), detector.text(message), detector.puts(pv, "refused")
    phoebus.type(PREFIX + pv, text)
    until(lambda: len(detector.puts(pv, "refused")) > len(refusals), PATIENCE, f"{pv} is refused")
    (refusal,) = detector.puts(pv, "refused")[len(refusals) :]
    until(lambda: detector.text(message) != ("" if refusal in refusals else said), PATIENCE, f"{message} says why")
    assert PREFIX + message in phoebus.visible(), f"{message} is not on the page on which {pv} is typed"
    arrived(phoebus, detector, pv, before)


@pytest.mark.parametrize("press", tables.ROUTE, ids=lambda press: f"{press.page}-{press.control}")
def test_button(phoebus: DisplayRuntime, detector: Detector, press: tables.Press) -> None:
    """A button that asks does nothing if the answer is No, and writes its PV once if it is Yes."""
    if press == tables.ROUTE[0]:
        detector.idle()
    if press.before:
        getattr(detector, press.before)()
    page = PAGES[press.page]
    phoebus.look_at(page)
    pv = PREFIX + press.control
    before = detector.puts(press.control)
    if press.mark:
        phoebus.mark(press.mark, 1)
    if any(asks(widget) for control, widget in controls_on(page) if control == pv):
        assert all(phoebus.press(pv, "no"))
        phoebus.press(pv, "yes")
    else:
        phoebus.press(pv, "none")
    until(lambda: len(detector.puts(press.control)) > len(before), PATIENCE, f"{press.control} is written")
    assert [result for result, _ in detector.puts(press.control)[len(before) :]] == ["ok"]


@pytest.mark.parametrize("link", LINKS, ids="-".join)
def test_link(phoebus: DisplayRuntime, detector: Detector, link: tuple[str, str]) -> None:
    """A button that leads to another page does so, with the right component, and that page is complete."""
    pages, target = LINKS[link]
    phoebus.look_at(phoebus.page if phoebus.page in pages else pages[0])
    phoebus.follow(target)


def test_data_browser(phoebus: DisplayRuntime, detector: Detector, without: frozenset[str]) -> None:
    """A button of the observables opens their plot in the Data Browser."""
    _, part = tables.READERS[tables.PLOT]
    if part in without:
        pytest.skip(f"no Maven repository at hand has org.phoebus:{part}:5.0.5 (tests/phoebus/README.md)")
    phoebus.look_at(PAGES["observables"])
    application, file = phoebus.do("file", tables.PLOT)
    assert application == "databrowser"
    assert Path(file).samefile(OPI / tables.PLOT)


def test_history(phoebus: DisplayRuntime, detector: Detector) -> None:
    """The table of the runs has what `Run:History` has, and by PVAccess comment, configuration and observables, too."""
    for title in ("Größe 5 µm <&> $(P) 'odd' \"too\" and so long that it takes two lines of its cell", "last"):
        detector.running()
        detector.put("Run:Title", title)
        detector.put("Run:Comment", "rate was low")
        detector.command("Run:Stop")
    phoebus.look_at(PAGES["history"])

    def runs() -> list[list[str]]:
        return [line.split("\t")[:7] for line in detector.text("Run:History").splitlines()]

    def shown() -> list[list[str]]:
        return [row[:7] for row in phoebus.rows("Runs")[1:]]

    with contextlib.suppress(LateError):
        until(lambda: shown() == runs(), RULES_SECONDS, "the runs are there")  # what the IOC says of a run may be new
    assert shown() == runs()
    titles, *rows = phoebus.rows("Runs")
    last = dict(zip(titles, rows[0], strict=True))
    assert last["Comment"] == "rate was low"
    assert last["Configuration"] == "sim/sim/sim"
    assert float(last["pressure [Torr]"]) > 0
    assert {row.units for row in TOPOLOGY.observables if row.name == "pressure"} == {"Torr"}


def test_logs(phoebus: DisplayRuntime, after_a_run: Detector) -> None:
    """The three pages with the log of the IOC show the day and its newest line first, with the time of day alone."""
    when, rest = after_a_run.text("Log:Lines").split("\n")[0].split(" ", 1)
    day = time.strftime("%d %b", time.strptime(when[:10], "%Y-%m-%d"))
    newest = f"{day} {when[11:19]} {rest}"
    for name in ("history", "expert"):
        phoebus.look_at(PAGES[name])
        until(lambda: newest in logs(phoebus, "Log:Lines")[:1], PATIENCE, f"{name} shows {newest}")
    phoebus.look_at(PAGES["main"])
    until(lambda: when[11:19] in logs(phoebus, "time 1"), PATIENCE, f"main shows {newest}")
    assert logs(phoebus, "time 0") == [day]


def logs(phoebus: DisplayRuntime, widget: str) -> list[str]:
    """Return the text of the widgets with this name, each up to where the second entry of a log begins."""
    parts = [re.split(r" (?=\d\d:\d\d:\d\d )", text.text)[:2] for text in phoebus.texts() if text.name == widget]
    return [" ".join(each) for each in parts]


# --- every page in every situation


@pytest.mark.parametrize(("situation", "name"), LOOKED_AT)
def test_situation(
    phoebus: DisplayRuntime, enter: Callable[[str], None], pictures: Path, situation: str, name: str
) -> None:
    """All is connected, only what makes sense can be operated, every text is large enough and none is cut.

    One page of each kind is opened in each situation; the others are opened in the first one and go on.
    """
    enter(situation)
    page = PAGES[name]
    if name not in OTHERS:
        phoebus.show(page)
    else:
        phoebus.look_at(page)
    expect_enabled(phoebus, enabled_on(page, situation))
    if name not in OTHERS or situation == tables.SITUATIONS[0]:
        settle(phoebus)
    for pv, word in tables.SAID.get((situation, name), {}).items():
        said = (PREFIX + pv, word)
        until(lambda: said in {(text.pv, text.text) for text in phoebus.texts()}, PATIENCE, f"{pv}: {word}")  # noqa: B023
    assert not {text.text for text in phoebus.texts()} & tables.UNSAID.get((situation, name), set())
    if name in tables.PICTURED:
        phoebus.do("shot", str(pictures / f"{name.replace(' ', '-')}-{situation}.png"))
    with contextlib.suppress(LateError):
        until(lambda: not amiss(phoebus), PATIENCE, "")
    assert amiss(phoebus) == []
    expect_drawn(phoebus)
    if name in OTHERS:
        phoebus.leave()


def settle(phoebus: DisplayRuntime) -> None:
    """Wait until no text is added or goes for a moment: what is connected is drawn a little later."""
    before: list[tuple[str, str]] = []
    since = time.monotonic()

    def same() -> bool:
        nonlocal before, since
        earlier, before = before, [(text.file, text.name) for text in phoebus.texts()]
        if before != earlier:
            since = time.monotonic()
        return time.monotonic() - since > SETTLED_SECONDS

    until(same, PATIENCE, "the texts are drawn")


def expect_drawn(phoebus: DisplayRuntime) -> None:
    """Wait until each text that is seen is drawn."""
    with contextlib.suppress(LateError):
        until(lambda: not phoebus.blank(), DRAWN_SECONDS, "")
    assert phoebus.blank() == []


def amiss(phoebus: DisplayRuntime) -> list[str]:
    """Return what is wrong with texts."""
    texts = phoebus.texts()
    return sorted({*small(texts), *cut(texts)})


def small(texts: list[Seen]) -> list[str]:
    """Return the texts that cannot be read from where they must be read."""
    found: list[str] = []
    for text in texts:
        needed = tables.STATE_PIXELS if matches(text.pv, tables.STATES) else tables.TEXT_PIXELS
        if text.size < needed:
            found.append(f"{text.file}: {text.kind} {text.name}: {text.size} px, but must have {needed}")
    return found


def cut(texts: list[Seen]) -> list[str]:
    """Return the texts that do not fit."""
    found: list[str] = []
    for text in texts:
        too_wide = text.needs[0] > text.has[0] + 1
        too_high = text.needs[1] > text.has[1] + 1 and not matches(text.pv or text.name, tables.RUN_ON)
        if too_wide or too_high:
            found.append(
                f"{text.file}: {text.kind} {text.name}: {text.text!r} needs {text.needs}, but has {text.has} px"
            )
    return found


def matches(pv: str, patterns: tuple[str, ...]) -> bool:
    name = pv.removeprefix(PREFIX).removeprefix(large.PREFIX).removeprefix(extras.PREFIX)
    return any(fnmatch(name, pattern) for pattern in patterns)


# --- the end


def test_ioc_gone(phoebus: DisplayRuntime, detector: Detector, pictures: Path) -> None:
    """Nothing looks connected that is not, and nothing can be operated, also where it could before.

    All pages are open when the IOC dies; one of each kind is opened after it, too. While another page still has a PV,
    Phoebus 5.0.5 shows it as connected, and 0 for a state: then the page is not shown.
    """
    for page in PAGES.values():
        if page not in phoebus.left:
            phoebus.look_at(page)
            settle(phoebus)
            phoebus.leave()

    def operable() -> dict[str, set[str]]:
        found = {name: on_open_page(phoebus, page, phoebus.enabled) for name, page in PAGES.items()}
        return {name: enabled for name, enabled in found.items() if enabled}

    until(operable, PATIENCE, "something can be operated")
    detector.end()
    dead = time.monotonic() + DEATH_SECONDS
    until(lambda: not operable(), dead - time.monotonic(), "nothing can be operated")
    until(lambda: not phoebus.connected(), dead - time.monotonic(), "no PV is connected")

    def runs() -> set[str]:
        return {row[0] for row in phoebus.rows("Runs")[1:]}

    left = max(0.5, dead - time.monotonic())
    until(lambda: not on_open_page(phoebus, PAGES["history"], runs), left, "no run is shown")
    for name, page in PAGES.items():
        assert on_open_page(phoebus, page, lambda: phoebus.do("disconnected")), f"{name} looks connected"
        unnamed = partial(on_open_page, phoebus, page, partial(names_in_header, phoebus))
        until(lambda: not unnamed(), PATIENCE, f"the header of {name} shows no name of a PV")  # noqa: B023
    phoebus.open(PAGES["main"])
    until(lambda: PREFIX + "Message" not in phoebus.visible(), DEATH_SECONDS, "the page is not shown")
    phoebus.alone()
    for name in tables.PICTURED:
        phoebus.open(PAGES[name])
        assert phoebus.enabled() == set(), name
        until(lambda: phoebus.do("disconnected"), PATIENCE, f"widgets of {name} look disconnected")
        until(lambda: not names_in_header(phoebus), PATIENCE, "the header shows no name of a PV")
        phoebus.do("shot", str(pictures / f"{name.replace(' ', '-')}-gone.png"))
        assert phoebus.enabled() == set(), name
    assert not phoebus.connected()


def names_in_header(phoebus: DisplayRuntime) -> list[str]:
    """Return what the header shows in place of the values of PVs that are not connected."""
    return [text.text for text in phoebus.texts() if text.file == "header.bob" and text.text.startswith("<")]


def on_open_page(phoebus: DisplayRuntime, page: Page, look: Callable[[], Iterable[str]]) -> set[str]:
    """Return what a look at a page that was left open finds, and leave it open."""
    phoebus.back(page)
    seen = set(look())
    phoebus.leave()
    return seen


# --- a large detector


def test_a_hundred_servers(
    phoebus: DisplayRuntime, large_detector: Detector, large_folder: Path, pictures: Path
) -> None:
    """The main screen of 100 ECC servers and data routers is complete, and can be read and operated, as with 12.

    One of the servers is lost in a run; the header says which one.
    """
    screens = write_screens(large_folder / "topology.yaml", large_folder)
    main = screens.pages[0]
    phoebus.do("check", str(large_folder / main.file))
    for step in ("Describe", "Prepare", "Configure", "Start"):
        until(lambda: large_detector.text("NextStep") == step, PATIENCE, f"{step} is the next step")  # noqa: B023
        large_detector.command("Run:Start" if step == "Start" else step)
    large_detector.simulate({"ecc": large.LOST, "do": "kill"})
    until(lambda: large.LOST in large_detector.text("IOC:Alarms"), PATIENCE, "the loss")
    opened = time.monotonic()
    phoebus.show(main, large_folder, screens)
    took = time.monotonic() - opened
    (pictures / "seconds-large.txt").write_text(f"{took:.1f}\n")
    expected = {large.PREFIX + pv.removeprefix(PREFIX) for pv in enabled_on(PAGES["main"], tables.FAILED)}
    expect_enabled(phoebus, expected)
    settle(phoebus)
    until(lambda: phoebus.do("bars", "VERTICAL") == ["ecc_list", "router_list"], PATIENCE, "both lists can be scrolled")
    until(lambda: phoebus.do("bars", "HORIZONTAL") == [], PATIENCE, "no bar leads sideways")
    phoebus.do("shot", str(pictures / "large-failed.png"))
    assert amiss(phoebus) == []


# --- what the example leaves out


def test_what_the_example_leaves_out(
    phoebus: DisplayRuntime, extra_detector: Detector, extra_folder: Path, pictures: Path
) -> None:
    """With a partner, units, a hook and a logbook, all is connected, can be read, and operated where it makes sense.

    A restart is offered while no run is open, and asks. While a start waits for its hook, Stop gives it up.
    """
    detector, prefix = extra_detector, extras.PREFIX
    screens = write_screens(extra_folder / "topology.yaml", extra_folder)
    server, router = f"ecc {tables.FAULTY}", f"router {tables.FAULTY_ROUTER}"
    restarts = {server: f"ECC:{tables.FAULTY}:Restart", router: f"Router:{tables.FAULTY_ROUTER}:Restart"}

    def look(name: str, situation: str) -> None:
        phoebus.show(PAGES[name], extra_folder, screens)
        expected = {prefix + pv.removeprefix(PREFIX) for pv in enabled_on(PAGES[name], situation)}
        if name in restarts and situation != tables.RUNNING:
            expected.add(prefix + restarts[name])
        expect_enabled(phoebus, expected)
        settle(phoebus)
        phoebus.do("shot", str(pictures / f"extra-{name.replace(' ', '-')}-{situation}.png"))
        assert amiss(phoebus) == []

    detector.ready()
    for name, pv in restarts.items():
        look(name, tables.READY)
        assert len(phoebus.press(prefix + pv, "no")) == 1
        assert detector.puts(pv) == []
    hold = extra_folder / extras.HOLD
    hold.touch()
    look("main", tables.READY)
    phoebus.press(prefix + "Run:Start", "yes")
    until(lambda: prefix + "Run:Stop" in phoebus.enabled(), PATIENCE, "Stop can be pressed")
    waiting = (prefix + "NextAction", "Wait: run 0 waits for hook hv; Stop cancels the start")
    until(lambda: waiting in {(text.pv, text.text) for text in phoebus.texts()}, PATIENCE, "it says what it waits for")
    phoebus.do("shot", str(pictures / "extra-main-hooks.png"))
    phoebus.press(prefix + "Run:Stop", "yes")
    until(lambda: detector.text("Run:CanStart") == "Yes", PATIENCE, "the start is given up")
    assert detector.number("Run:Number") == -1
    hold.unlink()
    detector.running()
    until(lambda: detector.text("Logbook:State") == "Waiting", PATIENCE, "an entry that cannot be written")
    for name in ("main", server, router, "history", "expert"):
        look(name, tables.RUNNING)
    seen = {(text.pv.removeprefix(prefix), text.text) for text in phoebus.texts()}
    assert {("Logbook:State", "Waiting"), ("Logbook:Waiting", "1")} <= seen


def test_history_without_pvaccess(
    phoebus: DisplayRuntime, extra_detector: Detector, extra_folder: Path, pictures: Path
) -> None:
    """With `pva: false` the table has the last 50 runs; so it has where the IOC should serve PVAccess but cannot."""
    detector, topology = extra_detector, extra_folder / "topology.yaml"
    detector.running()
    wanted = extra_folder / "wanted"
    wanted.mkdir()
    text = topology.read_text(encoding="utf-8")
    assert "pva: false" in text
    (wanted / "topology.yaml").write_text(text.replace("pva: false", "pva: true"), encoding="utf-8")
    for folder in (extra_folder, wanted):
        screens = write_screens(folder / "topology.yaml", folder)
        assert ("run_table.bob" in screens.files) == (folder == wanted)
        phoebus.open(PAGES["history"], folder)
        until(lambda: [row[0] for row in phoebus.rows("Runs")[1:]] == ["0"], PATIENCE, "the run is there")
        phoebus.do("shot", str(pictures / f"extra-history-{folder.name}.png"))
