"""The Channel Access layer: typed PVs and the server that offers them.

caproto's protocol layer (its commands, `VirtualCircuit`, `Broadcaster`, DBR structures) under a server of our own.
"""

from ioc.ca.enumerated import CommandPv, EnumPv
from ioc.ca.limits import Limits
from ioc.ca.numeric import FloatPv, IntPv
from ioc.ca.pv import PutHandler, Pv
from ioc.ca.server import CaServer, ServerStats
from ioc.ca.site import MayWrite
from ioc.ca.text import StringArrayPv, StringPv, TextPv

__all__ = [
    "CaServer",
    "CommandPv",
    "EnumPv",
    "FloatPv",
    "IntPv",
    "Limits",
    "MayWrite",
    "PutHandler",
    "Pv",
    "ServerStats",
    "StringArrayPv",
    "StringPv",
    "TextPv",
]
