"""The units (systemd) and agents (launchd) that start the IOC, the ECC servers and the routers, from the topology.

For each machine there is a folder with its units, a script that installs them for the login user, who needs no other
rights, and one that rotates the log files. A program runs in its working directory, is started again when it fails (but
not for ever), and writes into its `log_path`, else into the journal of systemd or ``~/Library/Logs``.

systemd expands nothing but ``%`` and ``$`` in a command, and launchd nothing at all: there a shell does it.
"""

from __future__ import annotations

import plistlib
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ioc.app.unit_texts import INSTALL_LAUNCHD, INSTALL_SYSTEMD, ROTATE, ROTATE_SERVICE, ROTATE_TIMER, SERVICE, WATCHED
from ioc.errors import Refused
from ioc.topology.derived import unit_name, units_of
from ioc.topology.schema import DataRouter, EccServer, Topology, Units

IOC_UNIT = "attpc-ioc"
_MARK = "Written by attpc-ioc units ({machine})"
"""A comment in every file: which folder it belongs to. On one machine, several may be installed."""
_TELNET_PORT = 20000


@dataclass(frozen=True)
class Program:
    """One program and what starts it."""

    unit: str
    description: str
    command: Sequence[str]
    directory: str
    """Its working directory; ``~`` is the home directory of the login user."""
    log: str | None
    """Its log file; None: the journal, where there is one."""
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    gives_up_on: int | None = None
    """An exit code after which it is not started again."""


def unit_files(
    topology: Topology, general: Units, ioc_command: Sequence[str], folder: str, environment: Mapping[str, str]
) -> dict[str, str]:
    """Return the text of every file by its path ``MACHINE/NAME``.

    `general` is used for the IOC, and where the topology says nothing. `ioc_command` starts the IOC in `folder`; it
    gets those variables of `environment` that belong to EPICS.

    Raises:
        Refused: programs cannot be started with what the topology says; all that is missing is named.
    """
    _refuse_what_is_missing(topology, general)
    epics = {name: value for name, value in sorted(environment.items()) if name.startswith("EPICS_")}
    ioc = Program(IOC_UNIT, "AT-TPC data acquisition IOC", ioc_command, folder, None, epics, gives_up_on=2)
    machines: dict[tuple[str, Units], list[Program]] = {("ioc", general): [ioc]}
    for component in (*topology.ecc_servers, *topology.data_routers):
        key = component.host, units_of(topology, component) or general
        machines.setdefault(key, []).append(_program(topology, component))
    files = {f"ioc/{name}": text for name, text in _procserv(ioc)}
    for (machine, units), programs in machines.items():
        texts = _systemd(machine, programs) if units == "systemd" else _launchd(machine, programs)
        files |= {f"{machine}/{name}": text for name, text in texts}
    return files


def replace_files(directory: Path, files: Mapping[str, str]) -> tuple[str, ...]:
    """Write the files, and remove those of earlier names that `unit_files` made, except install.sh.

    Returns:
        The folders that have only install.sh left, which removes there what it had installed.

    Raises:
        OSError: not all could be written.
    """
    machines = {name.partition("/")[0] for name in files}
    abandoned: list[str] = []
    for folder in sorted(path for path in directory.glob("*") if path.is_dir()):
        old = [path for path in folder.glob("attpc-*") if _is_ours(path)]
        for path in old:
            if f"{folder.name}/{path.name}" not in files:
                path.unlink()
        if old and folder.name not in machines:
            abandoned.append(folder.name)
    for name, text in files.items():
        file = directory / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
        file.chmod(0o755 if file.suffix == ".sh" else 0o644)
    return tuple(abandoned)


def _is_ours(path: Path) -> bool:
    mark = _MARK.format(machine=path.parent.name).encode()
    return path.is_file() and mark in path.read_bytes()


def command_of(topology: Topology, component: EccServer | DataRouter) -> Sequence[str]:
    """Return the command that starts a program: that of the topology, else the usual one.

    Raises:
        Refused: there is no usual one.
    """
    if component.command is not None:
        return component.command
    if isinstance(component, EccServer):
        configs = () if component.config_root is None else ("--config-repo-url", component.config_root)
        return ("getEccSoapServer", "--port", str(component.port), *configs)
    control = component.port - 2
    if problem := _unusual_port(topology, component):
        raise Refused(problem)
    return (
        *("dataRouter", f"{component.host}:{control}", f"{component.host}:{component.port}"),
        *(component.type.value, "FrameStorage"),
    )


def _unusual_port(topology: Topology, router: DataRouter) -> str:
    """Why the usual command does not suit a router without one; empty if it does."""
    control = router.port - 2
    taken = [each.name for each in topology.data_routers if each.host == router.host and each.port == control]
    if router.command is not None or not (taken or control < 1024):
        return ""
    used = f"is the port of router {taken[0]}" if taken else "belongs to the system"
    return (
        f"router {router.name} has no command, and the usual one would use the control port {control}, which {used}: "
        "give it a command in the topology"
    )


def _refuse_what_is_missing(topology: Topology, general: Units) -> None:
    problems = [problem for router in topology.data_routers if (problem := _unusual_port(topology, router))]
    if nowhere := [router.name for router in topology.data_routers if router.work_dir is None]:
        problems.insert(
            0,
            f"routers without work_dir, the directory that their units start them in and that they write to: "
            f"{', '.join(nowhere)}; give each its own, such as `work_dir: /data`, or all the same one under "
            "`defaults: data_routers:`",
        )
    managers: dict[str, set[Units]] = {}
    for component in (*topology.ecc_servers, *topology.data_routers):
        managers.setdefault(component.host, set()).add(units_of(topology, component) or general)
    problems += [
        f"{host} has both launchd and systemd: give all its programs the same `units`"
        for host, found in managers.items()
        if len(found) > 1
    ]
    if problems:
        raise Refused("; ".join(problems))


def _program(topology: Topology, component: EccServer | DataRouter) -> Program:
    what = f"AT-TPC {'ECC server' if isinstance(component, EccServer) else 'data router'} {component.name}"
    command = command_of(topology, component)
    return Program(unit_name(component), what, command, component.work_dir or "~", component.log_path)


def _procserv(ioc: Program) -> Iterator[tuple[str, str]]:
    """Instead of a unit, for places where every IOC runs below procServ."""
    settings = [f"{name}={value}" for name, value in ioc.environment.items()]
    line = ["procServ", "-f", "-n", ioc.unit, "-i", "^D^C", "--holdoff", "10", "-c", ioc.directory]
    line += ["-L", f"{ioc.directory}/{ioc.unit}.log", str(_TELNET_PORT), *ioc.command]
    yield "procserv.sh", f"#!/bin/sh\nexec env {shlex.join([*settings, *line])}\n"


def _systemd(machine: str, programs: Sequence[Program]) -> Iterator[tuple[str, str]]:
    mark = _MARK.format(machine=machine)
    for each in programs:
        lines = [f"WorkingDirectory={_systemd_path(each.directory)}"]
        lines += [
            f"Environment={_systemd_quoted(f'{name}={value}'.replace('%', '%%'))}"
            for name, value in each.environment.items()
        ]
        lines.append(f"ExecStart={' '.join(map(_systemd_word, each.command))}")
        if each.gives_up_on is not None:
            lines.append(f"RestartPreventExitStatus={each.gives_up_on}")
        if each.log is not None:
            lines.append(f"StandardOutput=append:{_systemd_path(each.log)}")
        yield f"{each.unit}.service", SERVICE.format(mark=mark, description=each.description, lines="\n".join(lines))
    logs = [each.log for each in programs if each.log is not None]
    if logs:
        unit, script = _rotation_names(machine)
        yield f"{unit}.service", ROTATE_SERVICE.format(mark=mark, script=script)
        yield f"{unit}.timer", ROTATE_TIMER.format(mark=mark)
        yield script, _rotation(mark, logs)
    folders = " ".join(sorted({_shell_word(log.rpartition("/")[0]) for log in logs}))
    yield "install.sh", INSTALL_SYSTEMD.format(mark=mark, folders=folders)


def _launchd(machine: str, programs: Sequence[Program]) -> Iterator[tuple[str, str]]:
    mark = _MARK.format(machine=machine)
    logs: list[str] = []
    for each in programs:
        log = each.log or f"~/Library/Logs/{each.unit}.log"
        logs.append(log)
        begin = [f"cd {_shell_word(each.directory)}", f"exec >>{_shell_word(log)} 2>&1"]
        command = " ".join(map(_shell_word, each.command))
        end = f"exec {command}" if each.gives_up_on is None else WATCHED.format(command=command, code=each.gives_up_on)
        yield f"{each.unit}.plist", _plist(mark, each.unit, " && ".join((*begin, end)), each.environment, keep=True)
    unit, script = _rotation_names(machine)
    command = f'exec /bin/sh "$HOME/Library/LaunchAgents/{script}"'
    yield f"{unit}.plist", _plist(mark, unit, command, {}, keep=False)
    yield script, _rotation(mark, logs)
    folders = " ".join(sorted({_shell_word(log.rpartition("/")[0]) for log in logs}))
    yield "install.sh", INSTALL_LAUNCHD.format(mark=mark, folders=folders)


def _rotation_names(machine: str) -> tuple[str, str]:
    """The unit that rotates the logs of one folder, and its script."""
    return f"attpc-logs-{machine}", f"attpc-rotate-logs-{machine}.sh"


def _plist(mark: str, label: str, script: str, environment: Mapping[str, str], *, keep: bool) -> str:
    """The mark is a comment of the shell: one of XML could not have the two hyphens of some host names."""
    path = "/usr/local/bin:/opt/homebrew/bin:/usr/bin:/bin:/usr/sbin:/sbin"
    agent: dict[str, object] = {
        "Label": label,
        "ProgramArguments": ["/bin/sh", "-c", f"# {mark}\n{script}"],
        "EnvironmentVariables": {"PATH": path, **environment},
    }
    if keep:
        agent |= {"RunAtLoad": True, "KeepAlive": {"SuccessfulExit": False}, "ThrottleInterval": 10, "ExitTimeOut": 10}
    else:
        agent["StartCalendarInterval"] = {"Hour": 4, "Minute": 30}
    return plistlib.dumps(agent, sort_keys=False).decode()


def _rotation(mark: str, logs: Sequence[str]) -> str:
    return ROTATE.format(mark=mark, logs=" ".join(_shell_word(log) for log in dict.fromkeys(logs)))


def _systemd_path(path: str) -> str:
    path = path.replace("%", "%%")
    return f"%h{path[1:]}" if path == "~" or path.startswith("~/") else path


def _systemd_word(word: str) -> str:
    """Return one word of a command, which systemd reads back unchanged."""
    return _systemd_quoted(_systemd_path(word).replace("$", "$$"))


def _systemd_quoted(text: str) -> str:
    text = text.replace("\\", "\\\\").replace('"', '\\"')
    return text if text and all(letter.isalnum() or letter in "_-./:=%@+," for letter in text) else f'"{text}"'


def _shell_word(word: str) -> str:
    if word == "~" or word.startswith("~/"):
        return f'"$HOME"{shlex.quote(word[1:]) if word[1:] else ""}'
    return shlex.quote(word)
