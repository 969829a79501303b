"""Addresses of hosts and networks, and what people write instead; messages say what a value must be."""

from __future__ import annotations

import ipaddress
import re

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_\-]*[A-Za-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*")
_ALL_NUMERIC = re.compile(r"[0-9.]+")
_WITH_PORT = re.compile(r"\[?([^/@\]]+)\]?:([0-9]{1,5})")


def check_address(host: str) -> str:
    """Return `host` if it is the address of one machine.

    Raises:
        ValueError: saying what it must be.
    """
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
    """Return `text` if it is an address, or a network whose address fits its mask.

    Raises:
        ValueError: saying what it must be.
    """
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
