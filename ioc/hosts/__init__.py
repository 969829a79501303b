"""The machines that routers and ECC servers live on, by SSH or this one: facts, filing, backups, log files."""

from ioc.hosts.build import build_hosts
from ioc.hosts.host import LocalHost, MachineHost, SshHost
from ioc.hosts.sites import RouterSite, ServerSite

__all__ = ["LocalHost", "MachineHost", "RouterSite", "ServerSite", "SshHost", "build_hosts"]
