"""Destinations of safe copies in a topology: what is refused, and what is read."""

from __future__ import annotations

import pytest

from ioc.topology.load import parse
from tests.topology.test_topology_load import GOOD, problems_of

USUAL = "name: cluster, ssh: attpc@cluster.org, directory: /mnt/attpc, bandwidth_mbps: 400, during_runs: true"

BROKEN = [
    # what is replaced, by what, part of the message
    ("name: cluster, ", "", "archive[0] has no 'name', but must have one"),
    ("name: cluster", "name: a b", "archive[0].name is 'a b', but must be 1 to 30 of A-Z"),
    ("directory: /mnt/attpc, ", "", "archive[0] has ssh, but must have directory, ssh and directory, or rclone"),
    (
        "ssh: attpc@cluster.org, directory: /mnt/attpc, ",
        "",
        "archive[0] has no place, but must have directory, ssh and directory, or rclone",
    ),
    ("during_runs: true", "rclone: 's3:a'", "archive[0] has directory and ssh and rclone, but must have directory,"),
    ("/mnt/attpc", "mnt/attpc", "archive[0].directory is 'mnt/attpc', but must be an absolute path"),
    ("/mnt/attpc", "~/attpc", "archive[0].directory is '~/attpc', but must be an absolute path"),
    ("attpc@cluster.org", "-oProxyCommand=x", "archive[0].ssh is '-oProxyCommand=x', but must be HOST or USER@HOST"),
    ("attpc@cluster.org", "'a b'", "archive[0].ssh is 'a b', but must be HOST or USER@HOST"),
    ("attpc@cluster.org", "'cluster:22'", "archive[0].ssh is 'cluster:22', but must be HOST or USER@HOST"),
    ("400", "0", "archive[0].bandwidth_mbps is 0, but must be 1 to 1000000 megabits per second"),
    ("true", "yes", "archive[0].during_runs is 'yes', but must be true or false"),
    ("true", "true, layout: mm", "archive[0].layout is 'mm', but must be routers or merger"),
    (
        "directory: /mnt/attpc",
        "directory: /mnt/x.graw, layout: merger",
        "archive[0] has layout merger in '/mnt/x.graw', but must not have '.graw' or 'CoBo<k>_AsAd<a>' in its path",
    ),
    ("during_runs", "during_run", "archive[0].during_run is not a known key; did you mean 'during_runs'?"),
    (
        "ssh: attpc@cluster.org, directory: /mnt/attpc",
        "rclone: attpc-raw",
        "archive[0].rclone is 'attpc-raw', but must be a remote of rclone with a place in it, such as s3:attpc-raw",
    ),
    (
        "ssh: attpc@cluster.org, directory: /mnt/attpc",
        "rclone: '--config=x:y'",
        "archive[0].rclone is '--config=x:y', but must be a remote of rclone",
    ),
    (
        "ssh: attpc@cluster.org, directory: /mnt/attpc",
        "rclone: ':s3,secret_access_key=x:attpc'",
        "archive[0].rclone is ':s3,secret_access_key=x:attpc', but must be a remote of rclone",
    ),
]


def with_archive(*destinations: str) -> str:
    return GOOD + "archive:\n" + "".join(f"  - {{{each}}}\n" for each in destinations)


@pytest.mark.parametrize(("old", "new", "message"), BROKEN)
def test_each_fault_is_named_with_its_line(old: str, new: str, message: str) -> None:
    """A wrong destination is refused with its line, what is wrong and what it must be."""
    assert USUAL.count(old) == 1
    found = problems_of(with_archive(USUAL.replace(old, new)))
    assert any(at == 28 and message in text for at, text in found), found


def test_two_names_of_one_place_are_refused() -> None:
    """They would be taken for two copies; a name twice is an error too, whatever its case."""
    found = problems_of(
        with_archive("name: a, directory: /raid", "name: b, directory: /raid/", "name: A, rclone: 's3:x'")
    )
    assert sorted(text for _, text in found) == [
        "archive[1] is the same place as archive[0], but must be another one",
        "archive[2].name is 'A', but must differ from 'a' of archive[0] by more than upper and lower case",
    ]


def test_what_is_read() -> None:
    """Without limits there are none, and nothing is copied in a run."""
    raid, tape = parse(with_archive("name: raid, directory: /raid", "name: tape, rclone: 's3:x'"), "t.yaml").archive
    assert (raid.directory, raid.ssh, raid.rclone, raid.bandwidth_mbps, raid.during_runs) == (
        *("/raid", None, None, None),
        False,
    )
    assert tape.rclone == "s3:x"
    assert (raid.layout, tape.layout) == ("routers", "routers")
    (raid,) = parse(with_archive("name: raid, directory: /raid/x.y, layout: merger"), "t.yaml").archive
    assert raid.layout == "merger"
