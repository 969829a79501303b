"""The text of entries: what is typed by people is shown as typed, whatever it is."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ioc.logbook.entries import Entry, Table, as_markdown, as_text, compose
from ioc.logbook.occasions import Kind, Occasion, due
from ioc.model import DocumentState, RunClass, RunId, RunRecord
from ioc.rundb.queries import RunPage
from ioc.rundb.times import from_text, to_text

markdown_it = pytest.importorskip("markdown_it")
RECORD = RunRecord(RunId("e1", 3), DocumentState.Complete, RunClass.Beam, "t", 1.0, 2.0, 3.0, duration=1.0)
ROW = {"bytes": 0, "good_fraction": None}
NASTY = [
    "# x",
    "- a",
    "1. a",
    "1) b",
    "=== ",
    "---",
    "<script>alert(1)</script>",
    "[a](http://b)",
    "a | b",
    "`c`",
    "&lt;",
]


@pytest.mark.parametrize(
    ("state", "started", "kinds"),
    [
        (DocumentState.Starting, None, []),
        (DocumentState.Starting, 2.0, []),
        (DocumentState.Running, 2.0, [Kind.Start]),
        (DocumentState.Stopping, 2.0, [Kind.Start]),
        (DocumentState.Stopping, None, []),
        (DocumentState.Filing, 2.0, [Kind.Start]),
        (DocumentState.Complete, 2.0, [Kind.Start, Kind.End]),
        (DocumentState.Failed, 2.0, [Kind.Start, Kind.Failed]),
        (DocumentState.Failed, None, [Kind.Failed]),
        (DocumentState.Orphaned, 2.0, [Kind.Start, Kind.Failed]),
    ],
)
def test_what_is_due(state: DocumentState, started: float | None, kinds: list[Kind]) -> None:
    """What a logbook must have follows from the run alone; an entry has the same id at each attempt."""
    record = RunRecord(RunId("e1", 3), state, RunClass.Beam, "t", 1.0, started)
    assert [each.kind for each in due(record)] == kinds
    assert [each.id for each in due(record)] == [each.id for each in due(record.changed(title="other"))]
    assert len({each.id for each in due(record)}) == len(kinds)


@given(st.floats(1.7e9, 1.9e9))
def test_a_stored_run_has_the_same_entries(reserved_at: float) -> None:
    """A run that another process reads from the database has the ids that it had before it was stored."""
    record = RunRecord(RunId("e1", 3), DocumentState.Complete, RunClass.Beam, "t", reserved_at, 2.0)
    stored = replace(record, reserved_at=from_text(to_text(reserved_at)))
    assert [each.id for each in due(record)] == [each.id for each in due(stored)]
    assert [each.file_name for each in due(record)] == [each.file_name for each in due(stored)]


def shown(text: str) -> list[str]:
    """The visible text of Markdown, a line for each block, as a strict reader of CommonMark shows it."""
    tokens = markdown_it.MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    assert not [token for token in tokens if token.type in {"html_block", "fence", "code_block", "hr"}]
    inline = [token for token in tokens if token.type == "inline"]
    children = [child.type for token in inline for child in token.children]
    assert not {"html_inline", "link_open", "em_open", "code_inline", "s_open"} & set(children), children
    return ["".join(child.content for child in token.children) for token in inline]


typed = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Zs", "Cf", "Co", "Cn"], include_characters=" ")
)


@given(typed, typed, typed)
@example(*NASTY[:3])
@example(*NASTY[3:6])
@example(*NASTY[6:9])
def test_what_people_typed_is_shown_as_typed(fact: str, problem: str, cell: str) -> None:
    """Neither markup nor HTML in a title, a message or a value changes the entry."""
    fact, problem, cell = (" ".join(text.split()) for text in (fact, problem, cell))
    table = Table("T", ("a", "b"), ((cell, "1"),))
    lines = shown(as_markdown(Entry("0", Kind.End, "e", 1, "t", (("Title", fact),), (problem,), (table,))))
    assert lines == [
        f"Title: {fact}".rstrip(),
        "What went wrong",
        *([problem] if problem else []),
        "T",
        "a",
        "b",
        cell,
        "1",
    ]


@given(st.text())
def test_titles_are_one_line(title: str) -> None:
    """Whatever was typed, the title of an entry is one printable line of limited length."""
    record = RECORD.changed(title=title)
    entry = compose(Occasion(Kind.End, record), RunPage(ROW, (), (), (), (), ()))
    assert entry.title.isprintable()
    assert len(entry.title) <= 200
    assert entry.title.startswith("Run 3 ended")
    assert re.search(r"^State +complete$", as_text(entry), re.MULTILINE)


def test_long_tables_are_cut() -> None:
    """Of a thousand files the first are listed and the others counted."""
    files = [{"router": "r", "host": "h", "path": f"/{n}", "bytes": n} for n in range(1000)]
    entry = compose(Occasion(Kind.End, RECORD), RunPage(ROW, (), (), (), files, ()))
    assert "and 800 more" in as_markdown(entry)
    assert "and 800 more" in as_text(entry)
