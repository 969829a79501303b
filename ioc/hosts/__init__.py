"""The machines of routers and ECC servers, by SSH or this one: facts, filing, backups, log files."""

from ioc.hosts.build import build_hosts, build_transport
from ioc.hosts.checks import Tools
from ioc.hosts.host import MachineHost
from ioc.hosts.local import LocalTransport
from ioc.hosts.units import Action

__all__ = ["Action", "LocalTransport", "MachineHost", "Tools", "build_hosts", "build_transport"]
