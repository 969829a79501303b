"""What the IOC keeps for the process that comes after it: text under a name, in the table ``settings``.

Everything is written and read here, so that both sides agree. What cannot be read is as good as absent.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

from ioc.errors import Refused
from ioc.model import ConfigChoice, RunClass, RunRecord
from ioc.runlogic.effects import SaveSetting
from ioc.runlogic.state import Server

Settings = Mapping[str, str]


@dataclass(frozen=True)
class Configured:
    """What an ECC server had when it was configured."""

    given: ConfigChoice | None
    digest: str
    files: tuple[tuple[str, str], ...]


def save_configured(name: str, server: Server) -> SaveSetting:
    given = str(server.given) if server.given else ""
    text = json.dumps({"given": given, "digest": server.config_digest, "files": server.files})
    return SaveSetting(f"configured:{name}", text)


def configured(settings: Settings, name: str) -> Configured | None:
    with contextlib.suppress(ValueError, LookupError, TypeError, Refused):
        had = json.loads(settings[f"configured:{name}"])
        given = ConfigChoice.parse(had["given"]) if had["given"] else None
        return Configured(given, had["digest"], tuple((file, digest) for file, digest in had["files"]))
    return None


def save_config(name: str, config: ConfigChoice) -> SaveSetting:
    return SaveSetting(f"config:{name}", str(config))


def config(settings: Settings, name: str) -> ConfigChoice | None:
    """The configuration that the operator selected for an ECC server."""
    with contextlib.suppress(LookupError, Refused):
        return ConfigChoice.parse(settings[f"config:{name}"])
    return None


def save_link(router: str, process: str) -> SaveSetting:
    """`process` is the one that a source was connected to; empty if none is."""
    return SaveSetting(f"link:{router}", process)


def link(settings: Settings, router: str) -> str:
    return settings.get(f"link:{router}", "")


def save_directories(router: str, directories: tuple[str, ...]) -> SaveSetting:
    """Where a router has worked in the open run, or the last one."""
    return SaveSetting(f"directories:{router}", json.dumps(directories))


def directories(settings: Settings, router: str) -> tuple[str, ...]:
    with contextlib.suppress(ValueError, LookupError, TypeError):
        return tuple(map(str, json.loads(settings[f"directories:{router}"])))
    return ()


def save_title(title: str) -> SaveSetting:
    return SaveSetting("title", title)


def save_class(run_class: RunClass) -> SaveSetting:
    return SaveSetting("class", run_class.name)


def run_class(settings: Settings) -> RunClass:
    return RunClass.__members__.get(settings.get("class", ""), RunClass.Testing)


def save_next_number(number: int) -> SaveSetting:
    """The lowest number that the next run may have; 0 if the operator has put none."""
    return SaveSetting("next_number", str(number))


def next_number(settings: Settings) -> int:
    return _whole(settings, "next_number", 0)


def notes_belong_to(settings: Settings, experiment: str, topology_default: str) -> bool:
    """Whether title and number of the next run were put for this experiment.

    A database of an earlier version says so only if the experiment was put, not taken from the topology.
    """
    if (written_for := settings.get("notes_of")) is not None:
        return written_for == experiment
    return settings.get("experiment_default", topology_default) == topology_default


def save_notes_of(experiment: str, *, same: bool) -> tuple[SaveSetting, ...]:
    """The experiment that title and number of the next run belong to; unless it is the `same`, they are cleared."""
    cleared = () if same else (save_title(""), save_next_number(0))
    return (*cleared, SaveSetting("notes_of", experiment))


def save_experiment(name: str, topology_default: str) -> tuple[SaveSetting, ...]:
    return SaveSetting("experiment", name), SaveSetting("experiment_default", topology_default)


def save_orphaned(number: int) -> SaveSetting:
    """Number of the run that was last found to have ended while the IOC was away; it may still be filed."""
    return SaveSetting("orphaned", str(number))


def orphaned(settings: Settings) -> int:
    return _whole(settings, "orphaned", -1)


def save_alive(now: float, duration: float, number: int) -> SaveSetting:
    """A sign of life: run `number` is open and has lasted `duration` seconds."""
    return SaveSetting("last_alive", f"{now!r} {duration!r} {number}")


def alive(settings: Settings, run: RunRecord | None) -> tuple[float, float | None]:
    """When the process before this one was last known to live (0: never), and how long `run` had lasted then."""
    with contextlib.suppress(ValueError):
        at, *of_run = map(float, settings.get("last_alive", "").split())
        if run is not None and len(of_run) == 2 and of_run[1] == run.run.number:
            return at, of_run[0]
        return at, None
    return 0.0, None


def _whole(settings: Settings, name: str, default: int) -> int:
    with contextlib.suppress(ValueError):
        return int(settings.get(name, default))
    return default
