"""The SSH endpoint of an address: the topology's SSH settings override those of ``~/.ssh/config``.

OpenSSH's own client reads its configuration (``ssh -G``), so includes, matches and tokens work as on the command line.
Without that program, or without a configuration, only the settings of the topology apply.
"""

from __future__ import annotations

import getpass
import re
import shutil
import socket
import subprocess
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ioc.errors import PeerError
from ioc.topology.schema import Ssh

DEFAULT_KNOWN_HOSTS = "~/.ssh/known_hosts"
SECONDS = 10.0
"""A configuration may run programs (Match exec)."""

Options = Mapping[str, Sequence[str]]
"""Output of ``ssh -G``: the values of each keyword, in lower case."""


@dataclass(frozen=True)
class Endpoint:
    """An SSH server and how to log in to it."""

    host: str
    port: int
    user: str
    keys: tuple[str, ...]
    """Private key files to try in addition to those of the agent; none: the usual ones in ``~/.ssh``."""
    jumps: tuple[str, ...]
    """Hosts to go through, ``[user@]host[:port]``, the nearest first."""
    known_as: str = ""
    """Its name in known_hosts (``[host]:port`` if the port is not 22)."""
    known_hosts: tuple[str, ...] = ()
    """Files of host keys; a key is added to the first."""
    only_these_keys: bool = False
    """The agent's keys are not tried."""


def resolve(address: str, settings: Ssh) -> Endpoint:
    """Return the endpoint of `address`.

    Raises:
        PeerError: the SSH configuration file cannot be used; it names the file, and the line where there is one.
    """
    options = _options(address, settings)
    one = {keyword: values[0] for keyword, values in options.items()}
    if one.get("proxycommand", "none").lower() != "none":
        raise PeerError(f"{settings.config} gives a ProxyCommand for {address}, but only ProxyJump can be used")
    host = one.get("hostname", address)
    port = settings.port or int(one.get("port", 22))
    user = settings.username or one.get("user") or getpass.getuser()
    alias = one.get("hostkeyalias", "none")
    known_as = host if port == 22 else f"[{host}]:{port}"
    if alias != "none":
        known_as = alias  # it replaces host and port
    tokens = _tokens(address, host, port, user, address if alias == "none" else alias)
    jumps = one.get("proxyjump", "none")
    return Endpoint(
        host=host,
        port=port,
        user=user,
        keys=_keys(settings, options.get("identityfile", ()), address, tokens),
        jumps=() if jumps.lower() == "none" else tuple(jump.strip() for jump in jumps.split(",")),
        known_as=known_as.lower(),
        known_hosts=_known_hosts(settings, one, tokens),
        only_these_keys=settings.key is None and one.get("identitiesonly") == "yes",
    )


def jump_settings(jump: str, settings: Ssh) -> tuple[str, Ssh]:
    """Return address and settings of a jump host: its own from the configuration file, with our keys."""
    user, _, place = jump.removeprefix("ssh://").rpartition("@")
    address, colon, port = place.rpartition(":")
    if not colon or not port.isdecimal():
        address, port = place, ""
    own = {"username": user or None, "port": int(port) if port else None}
    return address.strip("[]"), settings.model_copy(update=own)


def _options(address: str, settings: Ssh) -> Options:
    if settings.config is None or not Path(settings.config).expanduser().exists():
        return {}
    program = shutil.which("ssh")
    if program is None:
        raise PeerError(
            f"the SSH configuration {settings.config} is read with OpenSSH's client, which is not installed here: "
            "install it (openssh-client), or set 'config: null' under 'ssh' in the topology"
        )
    command = [program, "-G", "-F", str(Path(settings.config).expanduser())]
    command += ["-p", str(settings.port)] if settings.port else []
    command += ["-l", settings.username] if settings.username else []
    try:
        answer = subprocess.run(  # noqa: S603 - no shell, and the address cannot be an option
            [*command, "--", address], stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise PeerError(f"the SSH configuration {settings.config} cannot be used for {address}: {error}") from None
    if answer.returncode != 0:
        said = "; ".join(answer.stderr.decode(errors="replace").split("\r\n")).replace("\n", "; ").strip("; ")
        raise PeerError(f"the SSH configuration {settings.config} cannot be used for {address}: {said}")
    options: defaultdict[str, list[str]] = defaultdict(list)
    for line in answer.stdout.decode(errors="surrogateescape").splitlines():
        keyword, _, value = line.partition(" ")
        options[keyword].append(value)
    return options


def _known_hosts(settings: Ssh, options: Mapping[str, str], tokens: Mapping[str, str]) -> tuple[str, ...]:
    """Return the file given in the topology, else those of the configuration, which may be several."""
    if Path(settings.known_hosts).expanduser() != Path(DEFAULT_KNOWN_HOSTS).expanduser():
        return (settings.known_hosts,)
    files = [DEFAULT_KNOWN_HOSTS]
    if "userknownhostsfile" in options:
        files = _existing(options["userknownhostsfile"]) + _existing(options.get("globalknownhostsfile", ""))
    return tuple(_expanded(file, tokens) for file in files if file.lower() != "none")


def _existing(names: str) -> list[str]:
    """Split names at blanks, but keep a name with blanks whole if such a file exists."""
    words, found = names.split(" "), list[str]()
    while words:
        length = next(
            (n for n in range(len(words), 1, -1) if Path(" ".join(words[:n])).expanduser().is_file()),
            1,
        )
        found.append(" ".join(words[:length]))
        del words[:length]
    return [name for name in found if name]


def _keys(settings: Ssh, of_config: Sequence[str], address: str, tokens: Mapping[str, str]) -> tuple[str, ...]:
    if settings.key is None:
        # As with ssh, files named in the configuration need not exist.
        keys = [_expanded(key, tokens) for key in of_config if key.lower() != "none"]
        return tuple(dict.fromkeys(key for key in keys if Path(key).is_file()))
    key = Path(settings.key).expanduser()
    if not key.is_file():
        raise PeerError(f"the SSH key {settings.key} for {address} must be a file that exists")
    return (str(key),)


def _tokens(address: str, host: str, port: int, user: str, alias: str) -> dict[str, str]:
    """Return the values of ``%h`` and the other tokens in file names (TOKENS in ``man ssh_config``)."""
    here = socket.gethostname()
    return {
        "%": "%",
        "d": str(Path.home()),
        "h": host,
        "k": alias,
        "L": here.partition(".")[0],
        "l": here,
        "n": address,
        "p": str(port),
        "r": user,
        "u": getpass.getuser(),
    }


def _expanded(file: str, tokens: Mapping[str, str]) -> str:
    return str(Path(re.sub("%(.)", lambda match: tokens.get(match[1], match[0]), file)).expanduser())
