"""Where an address leads to: the topology's SSH settings over those of ``~/.ssh/config``."""

from __future__ import annotations

import getpass
from dataclasses import dataclass
from pathlib import Path

import paramiko

from ioc.errors import PeerError
from ioc.topology.schema import Ssh


@dataclass(frozen=True)
class Endpoint:
    """An SSH server and how to log in to it."""

    host: str
    port: int
    user: str
    keys: tuple[str, ...]
    """Private key files to try, besides those of the agent; none: the usual ones in ``~/.ssh``."""
    jumps: tuple[str, ...]
    """Hosts to go through, ``[user@]host[:port]``, the nearest first."""


def resolve(address: str, settings: Ssh) -> Endpoint:
    """Return where `address` leads to.

    Raises:
        PeerError: the SSH configuration file cannot be used.
    """
    options = _options(address, settings.config)
    if (options.get("proxycommand") or "none").lower() != "none":
        raise PeerError(f"{settings.config} gives a ProxyCommand for {address}, but only ProxyJump can be used")
    jumps = options.get("proxyjump") or "none"
    try:
        port = settings.port or int(options.get("port") or 22)
    except ValueError:
        raise PeerError(
            f"{settings.config} gives port {options['port']!r} for {address}: it must be a number"
        ) from None
    return Endpoint(
        host=options.get("hostname") or address,
        port=port,
        user=settings.username or options.get("user") or getpass.getuser(),
        keys=_keys(settings, list(options.get("identityfile") or ()), address),
        jumps=() if jumps.lower() == "none" else tuple(jump.strip() for jump in jumps.split(",")),
    )


def jump_settings(jump: str, settings: Ssh) -> tuple[str, Ssh]:
    """Return address and settings of a host to go through: its own of the configuration file, and our keys."""
    user, _, place = jump.rpartition("@")
    address, colon, port = place.rpartition(":")
    if not colon or not port.isdecimal():
        address, port = place, ""
    own = {"username": user or None, "port": int(port) if port else None}
    return address.strip("[]"), settings.model_copy(update=own)


def _options(address: str, file: str | None) -> paramiko.SSHConfigDict:
    path = Path(file).expanduser() if file else None
    if path is None or not path.exists():
        return paramiko.SSHConfig().lookup(address)
    try:
        return paramiko.SSHConfig.from_path(str(path)).lookup(address)
    except (OSError, UnicodeDecodeError, paramiko.SSHException, paramiko.ConfigParseError) as error:
        raise PeerError(f"the SSH configuration {file} cannot be used for {address}: {error}") from None


def _keys(settings: Ssh, of_config: list[str], address: str) -> tuple[str, ...]:
    if settings.key is None:
        # As ssh does: files that the configuration names need not exist.
        return tuple(key for key in (str(Path(key).expanduser()) for key in of_config) if Path(key).is_file())
    key = Path(settings.key).expanduser()
    if not key.is_file():
        raise PeerError(f"the SSH key {settings.key} for {address} must be a file that exists")
    return (str(key),)
