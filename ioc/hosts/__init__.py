"""The machines that routers and ECC servers live on, by SSH or this one: facts, filing, backups, log files."""

from ioc.hosts.build import build_hosts
from ioc.hosts.host import MachineHost

__all__ = ["MachineHost", "build_hosts"]
