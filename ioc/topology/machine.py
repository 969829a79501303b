"""What a topology says about the machine on which the IOC is to run: files that must be there, addresses."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from ioc.topology.derived import ssh_for
from ioc.topology.document import Fault, Loc
from ioc.topology.messages import said
from ioc.topology.schema import Ssh, Topology


def advise_machine(topology: Topology) -> Iterator[Fault]:
    """Yield a warning for each thing that will not work here; paths of the topology are resolved."""
    components = [
        ((section, index), each)
        for section in ("ecc_servers", "data_routers")
        for index, each in enumerate(getattr(topology, section))
    ]
    general = topology.ssh
    if isinstance(general, Ssh) and any(each.ssh is None for _, each in components):
        yield from _ssh(general, ("ssh",), {*general.model_fields_set, "known_hosts"})
    for loc, each in components:
        settings = ssh_for(topology, each)
        if settings == "local":
            if not _is_here(each.host):
                yield said((*loc, "host"), each.host, "should be an address of this machine: ssh is local")
        elif isinstance(each.ssh, Ssh):
            given = each.ssh.model_fields_set if general != "local" else {*each.ssh.model_fields_set, "known_hosts"}
            yield from _ssh(settings, (*loc, "ssh"), given)


def _ssh(ssh: Ssh, loc: Loc, keys: set[str]) -> Iterator[Fault]:
    """Look at those settings of one section that are its own."""
    if "key" in keys and ssh.key is not None:
        key = Path(ssh.key)
        if not key.is_file():
            yield said(
                (*loc, "key"), str(key), "should be a private key: there is no such file, and no host can be reached"
            )
        elif key.suffix == ".pub":
            yield said((*loc, "key"), str(key), f"should be the private key, {key.with_suffix('')}, not the public one")
        elif not os.access(key, os.R_OK):
            yield said((*loc, "key"), str(key), "should be a file that this user may read")
    if "known_hosts" in keys and not Path(ssh.known_hosts).is_file() and ssh.unknown_hosts == "refuse":
        why = "there is no such file, and hosts that are not known are refused"
        yield said((*loc, "known_hosts"), ssh.known_hosts, f"should be a file with the keys of the hosts: {why}")
    if "known_hosts" in keys and not Path(ssh.known_hosts).parent.is_dir() and ssh.unknown_hosts == "add":
        yield said((*loc, "known_hosts"), ssh.known_hosts, "should be in a directory that exists, to add keys there")
    if "config" in keys and ssh.config is not None and not Path(ssh.config).is_file():
        yield said((*loc, "config"), ssh.config, "should be an OpenSSH client configuration: there is no such file")


def _is_here(host: str) -> bool:
    """Whether an address is of this machine. Of a name it is not asked: that may take long, or the network."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return True
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError as error:
        return error.errno != errno.EADDRNOTAVAIL
    return True
