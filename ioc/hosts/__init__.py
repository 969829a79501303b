"""The machines of routers and ECC servers, by SSH or this one: facts, filing, backups, log files."""

from ioc.hosts.build import build_hosts
from ioc.hosts.checks import Tools
from ioc.hosts.host import MachineHost

__all__ = ["MachineHost", "Tools", "build_hosts"]
