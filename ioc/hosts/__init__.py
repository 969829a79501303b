"""The machines of routers and ECC servers, by SSH or this one: facts, filing, backups, log files."""

# pyright: reportUnusedImport=false

from ioc.hosts.build import build_hosts, build_transport, host_with, this_machine, way_to
from ioc.hosts.checks import Tools
from ioc.hosts.checksums import NoProgramError, ProgramError
from ioc.hosts.host import MachineHost
from ioc.hosts.inventory import Listing
from ioc.hosts.local import LocalTransport
from ioc.hosts.units import Action
