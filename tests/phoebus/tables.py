"""What the pages offer, as tables: a changed page needs a changed row here and no other edit in this folder.

A page is known by its display file without suffix, a control by the PV that it writes, without the prefix. ``$(NAME)``
is the component of a page that each component has. The tests compare the tables with the display files: a control that
no table knows, and one that is not on its page, are errors.
"""

from __future__ import annotations

from typing import NamedTuple

IDLE, PREPARING, READY, RUNNING, FAILED = SITUATIONS = ("idle", "preparing", "ready", "running", "failed")
"""Failed: a run whose ECC server `FAULTY` was killed. With the IOC gone, nothing is enabled anywhere."""
FAULTY = "CoBo3"
"""The ECC server that is slow in Preparing and lost in failed."""
FAULTY_ROUTER = "data3"

PICTURED = ("main", "run", "observables", "interlocks", "history", "expert", f"ecc {FAULTY}", f"router {FAULTY_ROUTER}")

_ALWAYS = frozenset(SITUATIONS)
_NEVER = frozenset[str]()


def _in(*situations: str) -> frozenset[str]:
    return frozenset(situations)


ENABLED: dict[str, dict[str, frozenset[str]]] = {
    "main": {
        "Run:Title": _ALWAYS,
        "Run:Class": _ALWAYS,
        "Log:Clear": _ALWAYS,
        "Describe": _in(IDLE),
        "Prepare": _NEVER,
        "Configure": _NEVER,
        "Reset": _in(READY),
        "Run:Start": _in(READY),
        "Run:Stop": _in(RUNNING, FAILED),
        "Run:Pause": _in(RUNNING),
        "Run:Resume": _NEVER,
        "Auto:Enable": _ALWAYS,
        "Auto:RunMinutes": _ALWAYS,
        "Auto:RunGB": _ALWAYS,
        "Auto:Runs": _ALWAYS,
        "Auto:PauseSeconds": _ALWAYS,
        "Auto:Plan": _ALWAYS,
    },
    "run": {
        "Run:Title": _ALWAYS,
        "Run:Class": _ALWAYS,
        "Run:SameAsPrevious": _ALWAYS,
        "Run:Quality": _ALWAYS,
        "Run:Comment": _ALWAYS,
        "Obs:target_gas:Entry": _ALWAYS,
        "Obs:beam:Entry": _ALWAYS,
        "Obs:energy:Entry": _ALWAYS,
        "Obs:e_drift:Entry": _ALWAYS,
        "Obs:e_trans:Entry": _ALWAYS,
        "Obs:get_frequency:Entry": _ALWAYS,
    },
    "observables": {
        "Obs:New:Name": _ALWAYS,
        "Obs:New:Pv": _ALWAYS,
        "Obs:New:Units": _ALWAYS,
        "Obs:New:Type": _ALWAYS,
        "Obs:New:Label": _ALWAYS,
        "Obs:New:Comment": _ALWAYS,
        "Obs:New:Add": _ALWAYS,
    },
    "interlocks": {
        "Interlock:pressure:Low": _ALWAYS,
        "Interlock:pressure:High": _ALWAYS,
        "Interlock:pressure:Bypass": _ALWAYS,
        "Interlock:cathode:Low": _ALWAYS,
        "Interlock:cathode:High": _ALWAYS,
        "Interlock:cathode:Bypass": _ALWAYS,
    },
    "history": {"Log:Clear": _ALWAYS},
    "expert": {"Experiment": _in(IDLE), "IOC:Reload": _ALWAYS},
    "ecc": {
        "ECC:$(NAME):Config": _in(IDLE, READY),
        "ECC:$(NAME):ConfigIndex": _in(IDLE, READY),
        "ECC:$(NAME):RefreshConfigs": _ALWAYS,
        "ECC:$(NAME):RefreshLog": _ALWAYS,
        "ECC:$(NAME):Describe": _in(IDLE),
        "ECC:$(NAME):Prepare": _NEVER,
        "ECC:$(NAME):Configure": _NEVER,
        "ECC:$(NAME):Undo": _NEVER,
        "ECC:$(NAME):Start": _in(READY),
        "ECC:$(NAME):Stop": _in(RUNNING, FAILED),
        "ECC:$(NAME):Pause": _in(RUNNING, FAILED),
        "ECC:$(NAME):Resume": _NEVER,
        "ECC:$(NAME):Breakup": _in(READY, RUNNING, FAILED),
        "ECC:$(NAME):Reset": _in(READY, RUNNING, FAILED),
    },
    "router": {"Router:$(NAME):RefreshLog": _ALWAYS, "Router:$(NAME):Organize": _NEVER},
}
"""For each control of a page, in which situations it can be operated."""

AT_REST = ("ECC:$(NAME):Config", "ECC:$(NAME):ConfigIndex", "ECC:$(NAME):RefreshConfigs", "ECC:$(NAME):RefreshLog")
"""What can be operated on the page of an ECC server that is done, while another one is still Preparing."""

LOST = ("ECC:$(NAME):RefreshLog",)
"""All that can be operated on the page of an ECC server that does not answer."""

NOT_YET = ("Run:SameAsPrevious", "Run:Quality", "Run:Comment")
"""What cannot be operated before the first run."""


class Press(NamedTuple):
    """A button, the page on which it is pressed, and what is done before to make that possible."""

    page: str
    control: str
    before: str = ""
    """A method of `Detector`."""
    mark: str = ""
    """The table of which the second row is marked."""


ROUTE = (
    Press("main", "Describe"),
    Press("main", "Prepare"),
    Press("main", "Configure"),
    Press("main", "Run:Start"),
    Press("main", "Run:Pause"),
    Press("main", "Run:Stop"),
    Press("main", "Reset"),
    Press("run", "Run:SameAsPrevious"),
    *(
        Press(f"ecc {FAULTY}", f"ECC:{FAULTY}:{name}", before)
        for name, before in (
            ("RefreshConfigs", "idle"),
            ("RefreshLog", ""),
            ("Describe", ""),
            ("Undo", ""),
            ("Describe", ""),
            ("Prepare", ""),
            ("Configure", ""),
            ("Start", ""),
            ("Pause", ""),
            ("Stop", ""),
            ("Breakup", ""),
            ("Reset", ""),
        )
    ),
    Press(f"ecc {FAULTY}", f"ECC:{FAULTY}:ConfigIndex", "idle", "Available configurations"),
    Press(f"router {FAULTY_ROUTER}", f"Router:{FAULTY_ROUTER}:RefreshLog"),
    Press(f"router {FAULTY_ROUTER}", f"Router:{FAULTY_ROUTER}:Organize", "files_at_rest"),
    Press("main", "Log:Clear"),
    Press("history", "Log:Clear"),
    Press("expert", "IOC:Reload", "idle"),
    Press("observables", "Obs:New:Add", "name_an_observable"),
)
"""Every button, in an order in which each makes sense, beginning with all ECC servers in Idle.

`FAULTY_ROUTER` gets the data of `FAULTY`: what that sends outside a run is left for Organize.
"""

NOT_PRESSED = {
    "Run:Resume": "the ECC servers of the example installation cannot resume",
    "ECC:$(NAME):Resume": "the same",
}

TEXTS = ("14 MeV, Größe ä", " α-Quelle, 5 µm, 'quotes' \\ \"too\"", "good 😀 漢字", "")  # noqa: RUF001


class Field(NamedTuple):
    """What is typed into a text entry: `good` is taken, `bad` is refused and `message` says why."""

    good: tuple[str, ...]
    bad: tuple[str, ...]
    message: str


FIELDS: dict[str, Field] = {
    "Run:Title": Field(TEXTS, ("x" * 300,), "Run:Message"),
    "Run:Comment": Field(TEXTS, ("x" * 2001,), "Run:Message"),
    "Obs:target_gas:Entry": Field(TEXTS, ("x" * 300,), "Obs:target_gas:Message"),
    "Obs:beam:Entry": Field(TEXTS, ("x" * 300,), "Obs:beam:Message"),
    "Obs:*:Entry": Field(("4.25", "-1.5", "12"), ("twelve", "1 µm"), "Obs:*:Message"),
    "Obs:New:*": Field(("humidity", "Größe ä", ""), ("x" * 500,), "Obs:New:Message"),
    "Interlock:pressure:Low": Field(("310.5", "300"), ("501",), "Interlock:pressure:Message"),
    "Interlock:pressure:High": Field(("490", "500"), ("299",), "Interlock:pressure:Message"),
    "Interlock:cathode:Low": Field(("19.5", "20"), (), ""),
    "Interlock:cathode:High": Field(("9999",), ("19",), "Interlock:cathode:Message"),
    "Auto:Runs": Field(("12", "0"), ("-1",), "Auto:Message"),
    "Auto:Plan": Field(("",), ("plan.yaml", "/no/such/plan"), "Auto:Message"),
    "Auto:*": Field(("1.5", "60"), ("-1",), "Auto:Message"),
    "Experiment": Field(("e20009", "Ωä😀", "e20009"), ("a/b", ""), "Message"),
    "ECC:*:Config": Field(("sim/pulser/sim", "sim/sim/sim"), ("sim/ä/sim", ""), "ECC:*:Message"),
}
"""By PV, with ``*`` for a name; the first that fits. A list offers what it offers: no row is needed.

Automatic runs can be enabled after they have a length. Text that is no number never leaves Phoebus as one.
"""

WORDS = {
    "no run yet": (("main", "history"), "Run:Number"),
    "not set": (("main", "run", "observables"), "Obs:energy:Value"),
}
"""Before the first run: words, the pages that say them, and the reading that is not seen there meanwhile."""

SAID = {(RUNNING, "main"): {f"Router:{FAULTY_ROUTER}:Staging": "Writing"}}
"""Words that are seen in a situation on a page, by the PV that they come from."""

UNSAID = {(RUNNING, "main"): {"Dirty", "Left behind"}}
"""Words that are not seen there: what is normal has a normal word."""

TITLE, GAS = "Run:Title", "Obs:target_gas:Entry"
"""What is filled in before pages are looked at."""

TEXT_PIXELS = 14
STATE_PIXELS = 18
STATES = ("State", "Run:State", "ECC:*:State")
"""PVs that are read from two metres."""

RUN_ON = ("Log:*", "ECC:*:Log", "Router:*:Log", "ECC:*:ConfigList")
"""PVs whose texts are longer than any field: the newest is seen."""

PLOT = "observables.plt"

READERS = {
    "alarm-tree.xml": ("AlarmTree", "app-alarm-model"),
    "overview.pvs": ("PvTable", "app-pvtable"),
    PLOT: ("Plot", "app-databrowser"),
    "save-restore.csv": ("SaveRestore", "save-and-restore"),
}
"""For each file beside the screens, the class that reads it and the part of Phoebus that this needs."""
