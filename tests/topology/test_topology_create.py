"""`attpc-ioc init`: a topology from a few answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ioc.errors import Refused
from ioc.model import LinkType, Role
from ioc.topology.create import Answers, create, write_new
from ioc.topology.load import parse

ANSWERS = st.builds(
    Answers,
    experiment=st.from_regex(r"[A-Za-z0-9_é][A-Za-z0-9_ é\"'#:{}-]{0,40}[A-Za-z0-9]", fullmatch=True),
    cobos=st.integers(1, 100),
    first_ecc=st.integers(1, 154).map("192.168.41.{}".format),
    first_router=st.integers(1, 154).map("10.0.0.{}".format),
    mutant=st.booleans(),
    single_ecc_server=st.booleans(),
    prefix=st.from_regex(r"[A-Za-z0-9_:-]{1,20}", fullmatch=True),
)


@settings(deadline=None, max_examples=60)
@given(ANSWERS)
def test_every_answer_gives_a_topology_that_loads(answers: Answers) -> None:
    """Whatever possible answers are given, the text loads and has what was asked for."""
    topology = parse(create(answers), "t.yaml")
    sources = answers.cobos + answers.mutant
    assert topology.prefix == answers.prefix
    assert topology.experiment == answers.experiment
    assert len(topology.data_sources) == len(topology.data_routers) == sources
    assert len(topology.ecc_servers) == (1 if answers.single_ecc_server else sources)
    assert topology.ecc_servers[0].host == answers.first_ecc
    assert topology.data_routers[0].host == answers.first_router
    last = topology.data_routers[-1]
    assert last.host == f"10.0.0.{int(answers.first_router.split('.')[3]) + sources - 1}"
    assert last.type is (LinkType.FDT if answers.mutant else LinkType.TCP)
    assert (Role.MuTAnT in {server.role for server in topology.ecc_servers}) == (
        answers.mutant and not answers.single_ecc_server
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cobos": 0}, "the number of CoBos is 0, but must be 1 to 100"),
        ({"cobos": 101}, "the number of CoBos is 101"),
        ({"first_ecc": "192.168.41.244"}, "the last of 12 would end in 255, but must end in at most 254"),
        ({"first_router": "192.168.41.250"}, "the first data router address is 192.168.41.250"),
        ({"first_ecc": "ecc.lab"}, "the first ECC server address is 'ecc.lab', but must be an IPv4 address"),
        ({"prefix": "A B"}, "prefix is 'A B', but must be"),
        ({"experiment": "../e1"}, "experiment is '../e1', but must be"),
        ({"experiment": "a\tb"}, "experiment is 'a\\tb', but must be"),
    ],
)
def test_impossible_answers_are_refused(change: dict[str, object], message: str) -> None:
    """An answer that would make a bad topology is refused with what it is and what it must be."""
    with pytest.raises(Refused) as caught:
        create(replace(Answers("e1"), **change))
    assert message in str(caught.value)


def test_one_server_needs_no_row_of_addresses() -> None:
    """With one ECC server for all, only the routers' addresses count upward."""
    text = create(Answers("e1", first_ecc="192.168.41.254", single_ecc_server=True))
    assert {source.ecc_server for source in parse(text, "t.yaml").data_sources} == {"ECC"}


def test_a_file_is_never_overwritten(tmp_path: Path) -> None:
    """A second write of the same file is refused and leaves it as it was."""
    path = tmp_path / "topology.yaml"
    write_new(path, "first")
    with pytest.raises(Refused, match="is not overwritten"):
        write_new(path, "second")
    assert path.read_text() == "first"


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """A place that cannot be written is refused with the system's reason."""
    with pytest.raises(Refused, match="cannot be written: No such file or directory"):
        write_new(tmp_path / "none" / "topology.yaml", "text")
