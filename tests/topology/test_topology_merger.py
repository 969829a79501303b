"""The layout that attpc_merger expects, for any topology."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ioc.model.graw import names
from ioc.topology.load import load
from ioc.topology.merger import MergerLayout
from ioc.topology.schema import DataRouter, DataSource, Topology
from tests.merger import COBOS

EXAMPLE = load(Path(__file__).parents[2] / "topology.yaml")
WANTED = tuple(f"mm{cobo}" for cobo in COBOS)


def topology(**routers_of: tuple[str, ...]) -> Topology:
    """A topology with these sources; ``C3`` is CoBo[3], any other one is a MuTAnT."""
    names = dict.fromkeys(router for routers in routers_of.values() for router in routers)
    return EXAMPLE.model_copy(
        update={
            "data_sources": tuple(
                DataSource(
                    id=f"CoBo[{source[1:]}]" if source.startswith("C") else "Mutant[master]",
                    ecc_server="CoBo0",
                    data_routers=routers,
                )
                for source, routers in routers_of.items()
            ),
            "data_routers": tuple(DataRouter(name=name, host="h") for name in names),
        }
    )


def graw(cobo: int, asad: int = 0) -> bytes:
    return b"CoBo%d_AsAd%d_2026-11-27T09:17:39.123_0000.graw" % (cobo, asad)


def test_the_example() -> None:
    """A full AT-TPC has a directory for each CoBo and one for its MuTAnT."""
    layout = MergerLayout.of(EXAMPLE)
    assert layout.directories == (*WANTED, "mutant")
    assert layout.directory_of("data7", graw(7, 3)) == "mm7"
    assert layout.directory_of("mutant", b"MuTanT_2026-11-27T09:17:39.123_0000.graw") == "mutant"


TABLE = [
    # sources with their routers; directories beside those that the merger wants; router, file and its directory
    ({"C0": ("a",)}, (), "a", graw(0), "mm0"),
    ({"C0": ("a",)}, (), "a", graw(0).replace(b".graw", b".duplicate-1"), "mm0"),
    ({"C0": ("a",)}, (), "a", b"notes.graw", "a"),
    ({"C0": ("a",)}, (), "", graw(0), "mm0"),
    ({"C0": ("a",)}, (), "", b"notes.graw", "other"),
    ({"C0": ("a",)}, (), "gone", graw(5), "mm5"),
    ({"C12": ("a",)}, ("mm12",), "a", graw(12), "mm12"),
    ({"C0": ("a",), "C1": ("a",)}, (), "a", graw(1), "mm1"),
    ({"C0": ("a", "b")}, ("b",), "b", graw(0), "b"),
    ({"C0": ("a", "b"), "C1": ("b",)}, (), "b", graw(0), "b"),
    ({"C0": ("a", "b"), "C1": ("b",)}, (), "b", graw(1), "mm1"),
    ({"M": ("t",), "C2": ("c",)}, ("t",), "t", b"MuTanT_x.graw", "t"),
    ({"C0": ("a",)}, (), "a", b"caf\xe9_" + graw(0), "a"),
    ({"C0": ("mm0",)}, (), "mm0", b"caf\xe9_" + graw(0), "mm0-other"),
    ({"C0": ("a", "mm0"), "C1": ("mm0",)}, (), "mm0", graw(0), "mm0-other"),
]


@pytest.mark.parametrize(("sources", "others", "router", "name", "directory"), TABLE)
def test_directories(
    sources: dict[str, tuple[str, ...]], others: tuple[str, ...], router: str, name: bytes, directory: str
) -> None:
    """The name of a file says its CoBo; what a second router wrote of the same CoBo is kept apart, as is the rest."""
    layout = MergerLayout.of(topology(**sources))
    assert set(layout.directories) == {*WANTED, *others}
    assert layout.directory_of(router, name) == directory


@given(
    st.dictionaries(
        st.integers(0, 30).map(lambda cobo: f"C{cobo}") | st.just("M"),
        st.lists(st.sampled_from("abcd"), min_size=1, max_size=3, unique=True).map(tuple),
        min_size=1,
    )
)
def test_every_router_has_a_directory_in_every_run(sources: dict[str, tuple[str, ...]]) -> None:
    """Whatever the topology, each router has one for what it writes, and none that the merger wants is missing."""
    layout = MergerLayout.of(topology(**sources))
    assert set(layout.directories) >= set(WANTED)
    assert len(set(layout.directories)) == len(layout.directories)
    first_writers = {routers[0] for source, routers in sources.items() if source != "M"}
    for source, (first, *others) in sources.items():
        name = graw(int(source[1:])) if source != "M" else b"MuTanT_x.graw"
        directory = layout.directory_of(first, name)
        assert directory == (f"mm{source[1:]}" if source != "M" else first)
        assert directory in layout.directories or first in first_writers
        assert {layout.directory_of(first, second) for second in itertools.islice(names(name), 3)} == {directory}
        assert not {layout.directory_of(other, name) for other in others} & set(WANTED)
    routers = {each for its in sources.values() for each in its}
    assert set(layout.directories) >= routers - first_writers
