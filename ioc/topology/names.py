"""Names in a topology of hosts, networks and PVs of other IOCs, with advice for common mistakes.

The message of a ValueError is what the name must be, as in `ioc.topology.schema`.
"""

from __future__ import annotations

import ipaddress
import re

from ioc.model import PVA_SCHEME

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_ALL_NUMERIC = re.compile(r"[0-9.]+")
_WITH_PORT = re.compile(r"\[?([^/@\]]+)\]?:([0-9]{1,5})")
_PV_NAME = re.compile(r"[\x21-\x7e]{1,60}")
_FIELD = re.compile(r"[A-Za-z_]\w*(/[A-Za-z_]\w*)*", re.ASCII)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)

_ONE_SLASH = re.compile(r"(ca|pva):/", re.IGNORECASE)

_FAMILIES = ("ECC:", "Router:", "Run:", "Auto:", "Obs:", "Interlock:", "Log:", "Logbook:", "Archive:", "IOC:")
_OF_THE_SYSTEM = {
    *("State", "Message", "Busy", "Experiment", "NextStep", "NextAction"),
    *("Describe", "Prepare", "Configure", "Reset"),
}


def check_address(host: str) -> str:
    """Return `host` if it is the address of one machine."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        if _ALL_NUMERIC.fullmatch(host) or not _NAME.fullmatch(host):
            raise ValueError(_instead(host)) from None
        return host
    if address.is_unspecified or address.is_multicast or host == "255.255.255.255":
        raise ValueError("the address of one machine")
    return host


def check_network(text: str) -> str:
    """Return `text` if it is an address, or a network whose address matches its mask."""
    try:
        ipaddress.ip_network(text)
    except ValueError:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise ValueError("an IP address or a network such as 192.168.41.0/24") from None
        raise ValueError(f"{network} for the whole network, or {text.partition('/')[0]} for one host") from None
    return text


def _instead(host: str) -> str:
    if "://" in host:
        return "an IP address or a host name alone, without a scheme"
    if "@" in host:
        return "an IP address or a host name alone: the user is ssh.username"
    if "/" in host:
        return "an IP address or a host name, not a network (without '/')"
    if parts := _WITH_PORT.fullmatch(host):
        return f"{parts[1]!r} alone: {parts[2]} is the value of port"
    return "an IP address or a host name"


def channel_of(name: str) -> str:
    """Return the name of a PV to follow: without Phoebus' prefix ``ca://``, but with ``pva://``.

    A PVAccess name may be followed by a field of its structure: ``pva://NAME/field``, ``pva://NAME/field/part``.
    """
    if scheme := _SCHEME.fullmatch(name):
        kind, name = scheme[1].lower(), scheme[2]
        if kind not in {"ca", "pva"} or "://" in name:
            raise ValueError(f"a PV with ca://, pva:// or nothing before its name, not {kind}://")
        if kind == "pva":
            pv, slash, field = name.partition("/")
            if slash and not _FIELD.fullmatch(field):
                raise ValueError("a PV and a field of its structure, as pva://NAME/field or pva://NAME/field/part")
            return PVA_SCHEME + channel_of(pv) + slash + field
    if _ONE_SLASH.match(name):
        raise ValueError("a PV with two slashes after ca: or pva:")
    if not _PV_NAME.fullmatch(name):
        raise ValueError("a PV name of 1 to 60 characters without spaces")
    return name


def is_own(name: str, prefix: str) -> bool:
    """Whether an IOC with this prefix serves `name` itself, or a field of it."""
    name = name.removeprefix(PVA_SCHEME)
    rest = re.split(r"[./]", name, maxsplit=1)[0].removeprefix(prefix)
    return name.startswith(prefix) and (rest in _OF_THE_SYSTEM or rest.startswith(_FAMILIES))
