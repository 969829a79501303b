"""Starts and stops programs on a host through their units (systemd) or agents (launchd), and asks for their state.

Only the commands below are run, with names of units that `ioc.topology.derived.unit_name` makes: nothing that a client
writes reaches a shell. The units are those of the login user, who needs no other rights.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ioc.errors import PeerError, PeerTimeout
from ioc.hosts.transport import Transport
from ioc.topology.schema import Units

Action = Literal["start", "stop", "restart", "status"]
SECONDS = 20.0
"""How long an action may take: a program gets ten seconds to end (`TimeoutStopSec`)."""

# $1 is the action, $2 the name of the unit. What the manager says comes between @begin and @end, its exit code last.
_SYSTEMD = """
main() {
  : "${XDG_RUNTIME_DIR:=/run/user/$(id -u)}"
  export XDG_RUNTIME_DIR
  echo @begin
  case $1 in
    status) systemctl --user show -p LoadState -p ActiveState -p SubState -p MainPID -p NRestarts "$2.service" 2>&1 ;;
    stop) systemctl --user stop "$2.service" 2>&1 ;;
    *) systemctl --user reset-failed "$2.service" >/dev/null 2>&1; systemctl --user "$1" "$2.service" 2>&1 ;;
  esac
  code=$?
  [ "$code" = 0 ] || [ -S "$XDG_RUNTIME_DIR/systemd/private" ] ||
    echo "(the user's systemd does not run there: as root, loginctl enable-linger $(id -un))"
  echo "@end $code"
}
"""
# An agent that was stopped is not loaded. "kickstart" waits for the start, and -k ends what runs.
_LAUNCHD = """
main() {
  domain=gui/$(id -u)
  echo @begin
  case $1 in
    status) launchctl print "$domain/$2" 2>&1 ;;
    stop) launchctl bootout "$domain/$2" 2>&1 ;;
    *)
      launchctl print "$domain/$2" >/dev/null 2>&1 ||
        launchctl bootstrap "$domain" "$HOME/Library/LaunchAgents/$2.plist" 2>&1
      case $1 in
        restart) launchctl kickstart -k "$domain/$2" 2>&1 ;;
        start) launchctl kickstart "$domain/$2" 2>&1 ;;
      esac ;;
  esac
  echo "@end $?"
}
"""
_SCRIPTS: Mapping[Units, str] = {"systemd": _SYSTEMD, "launchd": _LAUNCHD}
_NOT_LOADED = 113
"""Exit code of launchctl print for an agent that is not loaded."""


def act(transport: Transport, units: Units, action: Action, unit: str, where: str) -> str:
    """Do it; returns the state of the program in a few words for ``status``, else nothing.

    Raises:
        PeerError: it failed, in the words of the manager; or the host cannot be reached.
    """
    try:
        output = transport.run(_SCRIPTS[units], (action.encode(), unit.encode()), SECONDS)
    except PeerTimeout:
        raise PeerTimeout(f"{units} on {where} did not {action} {unit} within {SECONDS:g} s") from None
    said, end, code = output.decode(errors="replace").partition("@begin\n")[2].rpartition("@end ")
    said, code = said.strip(), code.strip()
    if not end or not code.isdigit():
        raise PeerError(f"{units} on {where} could not be asked to {action} {unit}")
    if action == "status":
        return _systemd_state(said) if units == "systemd" else _launchd_state(said, int(code))
    # To stop an agent that is not loaded is no failure.
    if code != "0" and not (units == "launchd" and action == "stop" and code in {"3", "36", str(_NOT_LOADED)}):
        raise PeerError(f"{units} on {where} cannot {action} {unit}: {' '.join(said.split()) or f'exit code {code}'}")
    return ""


def _systemd_state(said: str) -> str:
    values = dict(line.split("=", 1) for line in said.splitlines() if "=" in line)
    if "ActiveState" not in values:
        raise PeerError(f"the user's systemd cannot be asked: {' '.join(said.split())}")
    if values.get("LoadState") == "not-found":
        return "not installed"
    state = f"{values['ActiveState']} ({values.get('SubState', '')})"
    if values.get("MainPID", "0") != "0":
        state += f", process {values['MainPID']}"
    again = values.get("NRestarts", "0")
    return state if again == "0" else f"{state}, started again {again} times"


def _launchd_state(said: str, code: int) -> str:
    if code == _NOT_LOADED:
        return "not loaded"
    if code:
        raise PeerError(f"launchctl failed: {' '.join(said.split()) or f'exit code {code}'}")
    values: dict[str, str] = {}
    for line in said.splitlines():
        key, equals, value = line.strip().partition(" = ")
        if equals:
            values.setdefault(key, value)  # later ones are those of endpoints and so on
    state = values.get("state", "unknown")
    return f"{state}, process {values['pid']}" if "pid" in values else state
