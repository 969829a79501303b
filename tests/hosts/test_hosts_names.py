"""Names of files: only data files have names that the merger takes."""

from __future__ import annotations

import itertools
import os
import pathlib

from hypothesis import given
from hypothesis import strategies as st

from ioc.model import RunId
from ioc.model.graw import cobo_of, gathered_name, is_filed_data, is_merged, names, original_name, partial_name
from tests.hosts.rig import Hosts, Records, put, site
from tests.merger import files_of

RUN = RunId("e18008", 12)
DATA = b"CoBo1_AsAd2_2026-11-27T09:17:39.123_0000.graw"
_PARTS = [
    b"CoBo0_AsAd1",
    b".graw",
    b".g",
    b"raw",
    b"_duplicate-1",
    b".duplicate-2",
    b"_0000",
    b".",
    b"\n",
    b"\xff",
    b"a",
]
_NAMES = st.lists(st.sampled_from(_PARTS), min_size=1, max_size=8).map(b"".join)
_DATA = _NAMES.map(lambda stem: stem.lstrip(b".") + b".graw").filter(is_filed_data)


@given(_DATA)
def test_of_all_names_of_a_file_only_its_own_can_be_merged(name: bytes):
    """A copy that is not complete, and the second, third, … file of a name, have no .graw in their names."""
    own, *others = itertools.islice(names(name), 4)
    assert own == name
    for other in (*others, partial_name(name), *map(partial_name, others)):
        assert b".graw" not in other
    assert len({name, *others, partial_name(name), *map(partial_name, others)}) == 8


@given(_DATA)
def test_a_second_file_is_still_known_as_data(name: bytes):
    """The run's directory shows it again after a crash, with the name that it had."""
    second = list(itertools.islice(names(name), 2))[1]
    assert is_filed_data(second)
    assert not is_filed_data(partial_name(second))
    if b".graw" not in name.removesuffix(b".graw"):
        assert original_name(second) == name


@given(_NAMES.filter(lambda name: b".graw" not in name))
def test_other_files_keep_their_suffix(name: bytes):
    """A second configuration file is still one for the programs that look at the suffix."""
    second = list(itertools.islice(names(name), 2))[1]
    assert b"_duplicate-1" in second
    stem, dot, suffix = name.rpartition(b".")
    assert second.endswith(dot + suffix if stem else name + b"_duplicate-1")


def test_names_of_version_0_1():
    """A second file that is called ….graw gets a name that the merger does not take; others keep theirs."""
    old = DATA.replace(b".graw", b"_duplicate-1.graw")
    assert original_name(old) == DATA
    assert gathered_name(old) == DATA.replace(b".graw", b".duplicate-1") == list(itertools.islice(names(DATA), 2))[1]
    for name in (DATA, gathered_name(old), b"MuTanT_2026_0000.graw", b"describe-x_duplicate-1.xcfg"):
        assert gathered_name(name) == name


@given(_NAMES)
def test_what_can_be_merged_is_what_the_merger_takes(name: bytes):
    """`is_merged` and `cobo_of` have the merger's rule: it looks for both words anywhere in the name."""
    text = os.fsdecode(name)
    utf8 = "\udcff" not in text
    assert is_merged(name) == (not utf8 or ("CoBo0_AsAd1" in text and ".graw" in text))
    assert cobo_of(name) == (0 if utf8 and "CoBo0_AsAd1" in text else None)


async def test_the_merger_takes_the_data_files_of_a_directory_and_no_others(
    local_hosts: Hosts, tmp_path: pathlib.Path, other_disk: pathlib.Path
):
    """A name that was taken, on the same disk or another, and a copy that was cut off: only the first file counts."""
    for directory in (tmp_path / "here", tmp_path / "there"):
        directory.mkdir()
    (tmp_path / "there" / RUN.experiment).symlink_to(other_disk)
    for staging in (tmp_path / "here", tmp_path / "there"):
        for content in (b"first", b"second", b"third"):
            put(staging, {DATA: content})
            report = await local_hosts(site(work_dir=staging)).file_run("data0", RUN, Records())
            assert report.complete
        place = staging / RUN.directory
        put(place, {partial_name(DATA): b"half"})
        assert len(list(place.iterdir())) == 4
        assert files_of(place, 1, 2) == [place / os.fsdecode(DATA)]
        assert files_of(place, 1, 2)[0].read_bytes() == b"first"
