"""The section `defaults`: what entries have from it, and where its errors are reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.model import ConfigChoice
from ioc.topology.load import examine, parse
from tests.topology.test_topology_load import problems_of

TEXT = """\
experiment: e1
defaults:
  ecc_servers:
    role: cobo
    port: 9000
    config: {prepare: p, configure: c}
    ssh: {username: attpc, port: 23}
  data_routers: {type: TCP, log_path: ~/log}
ecc_servers:
  - {name: a, host: 10.0.0.1, config: {describe: a}}
  - {name: b, host: 10.0.0.2, role: mutant, port: 9001, config: {describe: b, prepare: q}, ssh: {port: 24}}
  - {name: c, host: 10.0.0.3, config: null, ssh: local}
data_routers:
  - {name: r, host: 10.0.0.1}
  - {name: s, host: 10.0.0.2, type: FDT, log_path: null}
  - {name: t, host: 10.0.0.3}
data_sources:
  - {id: "CoBo[0]", ecc_server: a, data_routers: [r]}
  - {id: "Mutant[m]", ecc_server: b, data_routers: [s]}
  - {id: "CoBo[1]", ecc_server: c, data_routers: [t]}
"""


def test_an_entry_has_what_it_does_not_say_itself() -> None:
    """Own keys count, mappings are completed key by key, null and `local` take a default away."""
    topology = parse(TEXT, "t.yaml")
    a, b, c = topology.ecc_servers
    assert [(each.role.value, each.port) for each in (a, b, c)] == [("cobo", 9000), ("mutant", 9001), ("cobo", 9000)]
    assert a.config is not None
    assert a.config.choice == ConfigChoice("a", "p", "c")
    assert b.config is not None
    assert b.config.choice == ConfigChoice("b", "q", "c")
    assert c.config is None
    assert a.ssh.model_dump(exclude_unset=True) == {"username": "attpc", "port": 23}  # type: ignore[union-attr]
    assert b.ssh.model_dump(exclude_unset=True) == {"username": "attpc", "port": 24}  # type: ignore[union-attr]
    assert c.ssh == "local"
    assert [each.log_path for each in topology.data_routers] == ["~/log", None, "~/log"]


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("port: 9000", "port: 90000", 5, "defaults.ecc_servers.port is 90000, but must be 1 to 65535"),
        ("port: 9000", "prot: 9000", 5, "defaults.ecc_servers.prot is not a known key; did you mean 'port'?"),
        ("port: 9000", "log_path: ~", 5, "defaults.ecc_servers.log_path is ~, which is null in YAML"),
        ("prepare: p,", "prepare: a&b,", 6, "defaults.ecc_servers.config.prepare is 'a&b', but must be 1 to 120"),
        ("username: attpc", "user: attpc", 7, "defaults.ecc_servers.ssh.user is not a known key; did you mean"),
        ("type: TCP", "type: tcp", 8, "defaults.data_routers.type is 'tcp', but must be TCP, FDT, ICE or ZBUF"),
        ("port: 9001", "port: 0", 11, "ecc_servers[1].port is 0, but must be 1 to 65535"),
        ("config: {prepare: p, configure: c}", "config: {configure: c}", 10, "ecc_servers[0].config has no 'prepare'"),
        ("    role: cobo\n", "", 9, "ecc_servers[0] has no 'role', but must have one"),
        ("host: 10.0.0.3, config", "host: 10.0.0.1, config", 12, "ecc_servers[2] is at 10.0.0.1:9000, but must have"),
        ("    role: cobo", "    name: x", 4, "defaults.ecc_servers.name is given for all entries, but each must have"),
        ("  data_routers: {", "  data_sources: {", 8, "defaults.data_sources is not a known key; did you mean"),
        (
            "  data_routers: {type: TCP, log_path: ~/log}",
            "  data_routers: 5",
            8,
            "defaults.data_routers is 5, but must",
        ),
    ],
)
def test_errors_are_where_the_value_is(old: str, new: str, line: int, said: str) -> None:
    """An error in a default is reported once, with its place and line there; what an entry lacks, at the entry."""
    assert old in TEXT
    problems = problems_of(TEXT.replace(old, new))
    matching = [problem for problem in problems if said in problem[1]]
    assert [problem[0] for problem in matching] == [line], problems


def test_defaults_that_are_no_mapping() -> None:
    """A wrong form is an error of the section."""
    text = "defaults: [1]\n" + TEXT.replace("defaults:", "polling:\n  ecc: 1\nx:")
    assert any(problem[1].startswith("defaults is a list, but must be") for problem in problems_of(text))


def test_warnings_name_the_default(tmp_path: Path) -> None:
    """A warning about an inherited value is given once; a default that every entry overrides is one."""
    path = tmp_path / "t.yaml"
    path.write_text(
        TEXT.replace("prepare: p,", "prepare: p.q,")
        .replace("port: 9000", "port: 9000, supports_resume: false")
        .replace("    port: 9000, supports_resume: false", "    port: 9000\n    host: 10.9.9.9")
    )
    warnings = [str(each).removeprefix(f"{path}:") for each in examine(path).warnings]
    assert "6: defaults.ecc_servers.host has no effect: every entry has its own" in warnings
    [dotted] = [each for each in warnings if "p.q" in each]
    assert dotted.startswith("7: defaults.ecc_servers.config.prepare is 'p.q'")


KEYS = {
    "port": st.integers(1, 9999),
    "supports_resume": st.booleans(),
    "log_path": st.just("~/log"),
    "config": st.fixed_dictionaries({}, optional={"describe": st.just("d"), "prepare": st.just("p")}),
    "config_root": st.sampled_from(["/a", "/b"]),
}
some_keys = st.fixed_dictionaries({}, optional=KEYS)


@settings(deadline=None, max_examples=50)
@given(some_keys, st.lists(some_keys, min_size=1, max_size=4))
def test_defaults_are_the_same_as_writing_them_out(defaults: dict[str, Any], entries: list[dict[str, Any]]) -> None:
    """A file with defaults gives the same topology as one in which each entry says all."""
    names = [f"n{number}" for number in range(len(entries))]
    base = [{"name": name, "role": "cobo", "host": f"10.0.0.{i}"} for i, name in enumerate(names)]
    for each in entries:
        each.setdefault("config", {})["configure"] = "c"
        for key in ("describe", "prepare"):
            if key not in defaults.get("config", {}):
                each["config"][key] = "own"
    rest = {
        "experiment": "e",
        "data_routers": [{"name": name, "host": f"10.0.0.{i}"} for i, name in enumerate(names)],
        "data_sources": [
            {"id": f"CoBo[{i}]", "ecc_server": name, "data_routers": [name]} for i, name in enumerate(names)
        ],
    }
    written = [
        own | {**defaults, **entry, "config": {**defaults.get("config", {}), **entry["config"]}}
        for own, entry in zip(base, entries, strict=True)
    ]
    short = [own | entry for own, entry in zip(base, entries, strict=True)]
    with_defaults = {**rest, "defaults": {"ecc_servers": defaults}, "ecc_servers": short}
    parsed = parse(yaml.safe_dump(with_defaults), "t.yaml")
    assert parsed == parse(yaml.safe_dump({**rest, "ecc_servers": written}), "t.yaml")
