"""The machines of routers and ECC servers, by SSH or this one: facts, filing, backups, log files."""

from ioc.hosts.build import build_hosts, build_transport
from ioc.hosts.host import MachineHost

__all__ = ["MachineHost", "build_hosts", "build_transport"]
