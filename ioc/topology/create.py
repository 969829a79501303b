"""Writes the topology of a usual installation from a few answers (``attpc-ioc init``)."""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ioc.errors import ConfigurationError, Refused
from ioc.model import Scalar
from ioc.topology.layout import written
from ioc.topology.load import parse

MAX_COBOS = 100
LAST_HOST = 254
"""Highest last part of an address."""

_HEAD = """\
# Written by `attpc-ioc init`. The example topology.yaml and docs/topology.md explain every key.
prefix: {}
experiment: {}
database: runs.db
"""


@dataclass(frozen=True)
class Answers:
    """The differences between usual installations."""

    experiment: str
    cobos: int = 11
    first_ecc: str = "192.168.41.60"
    """IPv4 address of the first ECC server; the last part is incremented for the next ones."""
    first_router: str = "192.168.41.60"
    mutant: bool = True
    single_ecc_server: bool = False
    """One ECC server drives all sources, instead of one server for each source."""
    prefix: str = "ATTPC:"
    ssh_user: str = ""
    """Account on the hosts; empty: by ~/.ssh/config; ``local``: everything runs on this machine."""
    config_root: str = ""
    """Folder of the .xcfg files on the hosts; empty: not known, so no copies are kept."""
    config_backup_root: str = ""
    writers: str = ""
    """Addresses and networks that may write, in addition to this machine, separated by spaces."""
    observables: tuple[Mapping[str, str], ...] = ()
    """Keys of the topology with their values."""


def create(answers: Answers) -> str:
    """Return the text of a topology that loads without errors.

    Raises:
        Refused: an answer is impossible; the text says which.
    """
    if not 1 <= answers.cobos <= MAX_COBOS:
        raise Refused(f"the number of CoBos is {answers.cobos}, but must be 1 to {MAX_COBOS}")
    cobos, mutant = range(answers.cobos), answers.mutant
    sources = [*(f"CoBo[{n}]" for n in cobos), *["Mutant[master]"] * mutant]
    servers = [*(("CoBo" + str(n), "cobo") for n in cobos), *[("MuTAnT", "mutant")] * mutant]
    routers = [*(("data" + str(n), "TCP") for n in cobos), *[("mutant", "FDT")] * mutant]
    drivers = [name for name, _ in servers]
    if answers.single_ecc_server:
        servers, drivers = [("ECC", "cobo")], ["ECC"] * len(sources)
    ecc_hosts = _addresses("ECC server", answers.first_ecc, len(servers))
    router_hosts = _addresses("data router", answers.first_router, len(routers))
    sections = {
        "ecc_servers": [
            f"name: {name}, role: {role}, host: {host}" for (name, role), host in zip(servers, ecc_hosts, strict=True)
        ],
        "data_routers": [
            f"name: {name}, host: {host}, type: {kind}"
            for (name, kind), host in zip(routers, router_hosts, strict=True)
        ],
        "data_sources": [
            f"id: {json.dumps(source)}, ecc_server: {driver}, data_routers: [{router}]"
            for source, driver, (router, _) in zip(sources, drivers, routers, strict=True)
        ],
    }
    text = _HEAD.format(*(json.dumps(each, ensure_ascii=False) for each in (answers.prefix, answers.experiment)))
    if answers.observables:
        sections["observables"] = [_pairs(each) for each in answers.observables]
    if answers.writers.split():
        hosts = ", ".join(written(each) for each in ("127.0.0.1", *answers.writers.replace(",", " ").split()))
        sections["access"] = [f"hosts: [{hosts}], write: true"]
    text += _common(answers)
    for section, rows in sections.items():
        text += "\n".join([f"\n{section}:", *(f"  - {{{row}}}" for row in rows), ""])
    try:
        parse(text, "topology.yaml")
    except ConfigurationError as error:
        raise Refused("; ".join(problem.text for problem in error.problems)) from None
    return text


def _common(answers: Answers) -> str:
    """The sections that say how all hosts are reached and where their files are."""
    folders = {"config_root": answers.config_root, "config_backup_root": answers.config_backup_root}
    given = {"port": 8083, **{key: folder for key, folder in folders.items() if folder}}
    ssh = "local" if answers.ssh_user == "local" else f"{{username: {written(answers.ssh_user)}}}"
    return (f"ssh: {ssh}\n" if answers.ssh_user else "") + (
        f"\ndefaults:\n  ecc_servers: {{{_pairs(given)}}}\n  data_routers: {{port: 46005}}\n"
    )


def _pairs(values: Mapping[str, Scalar]) -> str:
    return ", ".join(f"{key}: {written(value)}" for key, value in values.items())


def refuse_existing(path: Path) -> None:
    """Refuse to write over a file; a link counts, wherever it leads.

    Raises:
        Refused: it exists.
    """
    if os.path.lexists(path):
        raise Refused(f"{path} exists and is not overwritten: choose another file")


def write_new(path: Path, text: str) -> None:
    """Write a new file.

    Raises:
        Refused: it exists or cannot be written.
    """
    refuse_existing(path)
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        raise Refused(f"{path} cannot be written: {error.strerror or error}") from None


def _addresses(what: str, first: str, count: int) -> list[str]:
    try:
        start = ipaddress.IPv4Address(first)
    except ValueError:
        raise Refused(f"the first {what} address is {first!r}, but must be an IPv4 address") from None
    last = int(start) % 256 + count - 1
    if last > LAST_HOST:
        raise Refused(
            f"the first {what} address is {first}, so that the last of {count} would end in {last}, "
            f"but must end in at most {LAST_HOST}"
        )
    return [str(start + n) for n in range(count)]
