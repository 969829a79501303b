"""Changes of the observables in a topology's text: what was asked for, and not a byte more."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.errors import ConfigurationError, Refused
from ioc.topology.document import read_document
from ioc.topology.edit import Add, Change, Move, Place, Retire, edit
from ioc.topology.load import parse

EXAMPLE = Path(__file__).parents[2] / "topology.yaml"

HEAD = """\
"title": "a \u2028 b"  # another line break of YAML
# a comment with a\ttab and 'quotes"
"prefix": 'T:' #\ta tab
experiment:   "e\\u00e9"
database: &where runs.db
ecc_servers: [ {name: a, role: cobo, host: 10.0.0.1 , port: 08083}, ]
data_routers:
- name: 'r'   # odd
  host:
    10.0.0.1
data_sources:
    -   id: >-
          CoBo[0]
        ecc_server: "a"
        data_routers: [r,]
"""
TAIL = """\
record:    always
# the end\tof it
"polling": {ecc: 1.0,
  routers: 2e0}   # odd
"""
ENTRIES: tuple[Callable[[str], str], ...] = (
    "- {{name: {}, label: Gas}}".format,
    '-   {{ "name" : "{}" ,units: \'V\', }}  # a {{comment}}'.format,
    "- name: {}\n  label: 'it''s'   # odd\n  # inside\n  deadband: 0.50".format,
    '- &{0} {{name: {0},\n    comment: "two\n    lines"}}'.format,
    "-\n  name: '{}'\n  comment: |\n    some\n      text".format,
    "- # on the dash\n  type: string\n  name: {}".format,
    "- name: {}\n  pv: A:B\n  comment: >\n    folded: - text".format,
    "- {{name: {}, comment: 'µ — ü\t😀'}}".format,
)
BETWEEN = ("", "", "# alone\n", "\n", "  # deep\n\n# two\tmore\n")


@dataclass(frozen=True)
class Written:
    """A topology as somebody wrote it: what is before, between and after its observables."""

    head: str
    entries: tuple[str, ...]
    between: tuple[str, ...]
    tail: str
    indent: str
    newline: str
    final: bool
    """The last line has a line break."""

    @property
    def names(self) -> list[str]:
        return [f"n{number}" for number in range(len(self.entries))]

    def text(self, order: list[int] | None = None) -> str:
        """The file with only these entries, in this order; what is between them stays in its place."""
        order = list(range(len(self.entries))) if order is None else order
        lines = [f"observables:{'' if order else ' []'}   # the conditions\n"]
        places = [*order, *[None] * (len(self.entries) - len(order))]
        for entry, between in zip(places, self.between, strict=True):
            lines += [between, "" if entry is None else self._indented(entry)]
        text = self.head + "".join(lines) + self.tail
        if not self.final:
            text = text.rstrip("\n")
        return text.replace("\n", self.newline)

    def _indented(self, number: int) -> str:
        lines = self.entries[number].rstrip("\n").split("\n")
        return "".join(f"{self.indent}{line}\n" if line else "\n" for line in lines)


@st.composite
def topologies(draw: st.DrawFn, least: int = 1) -> Written:
    """Files of many styles."""
    count = draw(st.integers(least, 5))
    makers = draw(st.lists(st.sampled_from(ENTRIES), min_size=count, max_size=count))
    return Written(
        head=draw(st.sampled_from((HEAD, "---\n" + HEAD, "\ufeff" + HEAD))),
        entries=tuple(make(f"n{number}") for number, make in enumerate(makers)),
        between=("", *draw(st.lists(st.sampled_from(BETWEEN), min_size=count - 1, max_size=count - 1))),
        tail=draw(st.sampled_from((TAIL, "", "# only a comment\n", "...\n"))),
        indent=draw(st.sampled_from(("", "  ", "     "))),
        newline=draw(st.sampled_from(("\n", "\r\n"))),
        final=draw(st.booleans()),
    )


def data(text: str) -> Any:
    document = read_document(text + "\n")  # without it, a block scalar at the end has another value
    assert not document.problems, (document.problems, text)
    return document.data


def others(text: str) -> Any:
    return {key: value for key, value in data(text).items() if key != "observables"}


def added(old: str, new: str) -> str:
    """The one piece by which `new` is longer than `old`."""
    start = 0
    while start < len(old) and old[start] == new[start]:
        start += 1
    longer = len(new) - len(old)
    for at in range(start, -1, -1):
        if new[:at] == old[:at] and new[at + longer :] == old[at:]:
            return new[at : at + longer]
    raise AssertionError(f"more than one piece is new:\n{old}\n---\n{new}")


many = settings(deadline=None, max_examples=40)


@many
@given(topologies(least=2), st.data())
def test_retire_takes_out_the_lines_of_the_entry(file: Written, choose: st.DataObject) -> None:
    """The file is as if the entry had never been written; comments on lines of their own stay."""
    gone = choose.draw(st.integers(0, len(file.entries) - 1))
    text, order = file.text(), [number for number in range(len(file.entries)) if number != gone]
    new = edit(text, Retire(f"n{gone}"), "t.yaml")
    assert data(new) == data(file.text(order))
    added(new, text)
    assert sorted(_lines(new)) == sorted(_lines(file.text(order)))


def _lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line.strip()]


@many
@given(topologies(), st.data())
def test_add_puts_in_one_piece(file: Written, choose: st.DataObject) -> None:
    """One piece is new, and it is the entry at its place; its line breaks are those of the file."""
    name = choose.draw(st.sampled_from(file.names))
    place = choose.draw(st.sampled_from((Place(), Place(before=name), Place(after=name))))
    text = file.text()
    fields = {"name": "new", "pv": "A:B 'c'", "deadband": 0.5, "comment": '# no: "comment" \u2028'}
    new = edit(text, Add(fields, place), "t.yaml")
    piece = added(text, new)
    assert piece.replace("\r\n", "").isprintable() if file.newline == "\r\n" else "\r" not in piece
    assert others(new) == others(text)
    expected = data(text)["observables"]
    index = len(expected) if place == Place() else file.names.index(name) + (place.after is not None)
    expected.insert(index, fields)
    assert data(new)["observables"] == expected
    assert edit(new, Retire("new"), "t.yaml") == text, "and out again"


@many
@given(topologies(least=2), st.data())
def test_move_changes_the_order_of_lines_only(file: Written, choose: st.DataObject) -> None:
    """The same lines, those of one entry elsewhere, and everything else in its order."""
    numbers = st.integers(0, len(file.entries) - 1)
    moved, beside = choose.draw(st.tuples(numbers, numbers).filter(lambda pair: pair[0] != pair[1]))
    after = choose.draw(st.booleans())
    place = Place(after=f"n{beside}") if after else Place(before=f"n{beside}")
    text = file.text()
    new = edit(text, Move(f"n{moved}", place), "t.yaml")
    order = [number for number in range(len(file.entries)) if number != moved]
    order.insert(order.index(beside) + after, moved)
    assert [entry["name"] for entry in data(new)["observables"]] == [f"n{number}" for number in order]
    assert others(new) == others(text)
    assert sorted(_lines(new)) == sorted(_lines(text))
    without = Retire(f"n{moved}")
    assert edit(new, without, "t.yaml") == edit(text, without, "t.yaml")


VALUES = st.none() | st.text(st.characters(exclude_categories=("Cs",)), max_size=30) | st.integers() | st.floats(0, 1e9)


@many
@given(topologies(), st.data(), st.dictionaries(st.sampled_from(("label", "units", "comment", "pv")), VALUES))
def test_change_touches_only_its_entry(file: Written, choose: st.DataObject, fields: dict[str, Any]) -> None:
    """The keys have their new values, all other entries and all other bytes are as before."""
    number = choose.draw(st.integers(0, len(file.entries) - 1))
    text, name = file.text(), f"n{number}"
    new = edit(text, Change(name, fields), "t.yaml")
    expected = data(text)["observables"]
    expected[number] = {k: v for k, v in {**expected[number], **fields}.items() if v is not None}
    assert data(new)["observables"] == expected
    if len(file.entries) > 1:
        assert edit(new, Retire(name), "t.yaml") == edit(text, Retire(name), "t.yaml")


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_last_lines_go_and_no_line_break_comes(newline: str) -> None:
    """A file that does not end with a line break has none after its last lines are taken out either."""
    kept = newline.join(("a: 1", "observables:", "  - name: gas", "  - name: hv"))
    text = newline.join((kept, "    units: V", "    comment: >", "      of the", "      anode"))
    assert edit(text, Change("hv", {"units": None, "comment": None}), "t.yaml") == kept


FLOW = """\
{{"prefix": "T:", # JSON, or nearly
  "observables": [{}],
  "record": "always"}}"""


@pytest.mark.parametrize(
    "entries", ["", "{name: a}", "{name: a}, {name: b,}", '\n  {"name": "a"}, # one\n  {name: b}\n']
)
def test_lists_in_brackets(entries: str) -> None:
    """A file in the style of JSON is changed in its style."""
    text = FLOW.format(entries)
    names = [entry["name"] for entry in data(text)["observables"]]
    new = edit(text, Add({"name": "c", "label": "C"}), "t.yaml")
    assert [entry["name"] for entry in data(new)["observables"]] == [*names, "c"]
    assert "{name: c, label: C}" in added(text, new)
    moved = edit(new, Move("c", Place(before="a")), "t.yaml") if names else new
    assert [entry["name"] for entry in data(moved)["observables"]] == ["c", *names]
    assert data(edit(moved, Retire("c"), "t.yaml")) == data(text)


@pytest.mark.parametrize("end", ["\n", "", "\n...\n", "\n# comment\n", "\n# comment"])
@pytest.mark.parametrize(
    "text", ["a: 1\nb: [x, y]", "a: 1\nobservables:   # none yet", "observables: []", "  a: |\n    x"]
)
def test_the_first_observable(text: str, end: str) -> None:
    """A file without the list gets it; retiring the only one leaves an empty list."""
    text += end
    new = edit(text, Add({"name": "gas"}), "t.yaml")
    added(text, new)
    assert data(new)["observables"] == [{"name": "gas"}]
    assert data(edit(new, Retire("gas"), "t.yaml")) == {**data(text), "observables": []}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (Retire("presure"), "there is no observable 'presure'; did you mean 'pressure'?"),
        (Change("x", {"units": "V"}), "there is no observable 'x'"),
        (Move("pressure", Place(after="nope")), "there is no observable 'nope'"),
        (Move("pressure", Place(after="pressure")), "pressure cannot be moved beside itself"),
    ],
)
def test_what_does_not_exist(change: Retire | Change | Move, said: str) -> None:
    """A name that nobody has is refused with the nearest one."""
    with pytest.raises(Refused) as caught:
        edit(EXAMPLE.read_text(), change, "t.yaml")
    assert said in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "observables:\n  - name: a\n  - ? name\n    : b\n",
        "? observables\n: - {name: a}\n  - {name: b}\n",
        "observables: [name: a, name: b]\n",
        "'observables': [{name: a}, {name: b}]\n",
        "observables: !!seq [{name: a}, {name: b}]\n",
        "observables: [{name: a}, {name: b}]\n---\nx: 1\n",
        "observables:\n  - name: a\n    comment: |+\n      kept\n\n\n  - {name: b}\n",
        "observables: {name: a}\n",
        "- 1\n",
        "",
    ],
)
def test_odd_yaml_is_changed_rightly_or_refused(text: str) -> None:
    """Whatever the form, the result has exactly the change, or the file is to be edited by hand."""
    for change in (Add({"name": "c"}), Change("b", {"units": "V"}), Retire("b"), Retire("a"), Move("b", Place("a"))):
        try:
            new = edit(text, change, "t.yaml")
        except (Refused, ConfigurationError):
            continue
        names = [entry["name"] for entry in data(new)["observables"]]
        gone = change.name if isinstance(change, Retire) else ""
        left = [name for name in "ab" if name != gone]
        assert names == ([*left, "c"] if isinstance(change, Add) else left[::-1] if isinstance(change, Move) else left)


def test_the_example_of_a_full_installation() -> None:
    """Each change of the example is one line, in its style, and loads."""
    text = EXAMPLE.read_text()
    fields = {"name": "humidity", "label": "Humidity", "pv": "HALL:Humidity", "units": "%", "deadband": 0.5}
    new = edit(text, Add(fields, Place(after="pressure")), "t.yaml")
    line = '  - {name: humidity, label: Humidity, pv: "HALL:Humidity", units: "%", deadband: 0.5}\n'
    assert new.replace(line, "", 1) == text
    assert [each.name for each in parse(new, "t.yaml").observables][4] == "humidity"
    changed = edit(new, Change("humidity", {"units": None, "label": "Hall: humidity"}), "t.yaml")
    assert line.replace("label: Humidity", 'label: "Hall: humidity"').replace(', units: "%"', "") in changed
    assert edit(text, Move("target_gas", Place(before="beam")), "t.yaml") == text, "it is there already"
