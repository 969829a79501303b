"""``attpc-ioc observables``: list and change the observables of a topology, and make the running IOC reload it.

Modules that only one command needs are imported in that command.
"""

# ruff: noqa: PLC0415

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ioc.cli.options import FactorOrNothing, topology_option
from ioc.cli.output import table
from ioc.errors import PeerError, Refused
from ioc.model import ValueType
from ioc.topology.edit import Add, Change, Edit, Move, Place, Retire
from ioc.topology.load import load
from ioc.topology.rewrite import change_observables
from ioc.topology.schema import Observable

if TYPE_CHECKING:
    from ioc.topology.schema import Topology

Callback = TypeVar("Callback", bound=Callable[..., Any])

_SHOWN = ("name", "label", "pv", "units", "type", "deadband", "max_rate", "comment")
_TYPES = [each.value for each in ValueType]


@click.group()
def observables() -> None:
    """List and change the observables of a topology.

    Everything else in the file, such as comments and order, stays unchanged. The result is checked before it is
    written. Then the running IOC, found by Channel Access, reloads the file; it must use the same file.
    """


reload_option = click.option(
    "--no-reload",
    "reload",
    flag_value=False,
    default=True,
    help="Change only the file; do not ask the IOC to reload it.",
)
before_option = click.option("--before", metavar="NAME", help="Place it before this observable.")
after_option = click.option("--after", metavar="NAME", help="Place it after this observable.")


def _keys(command: Callback) -> Callback:
    options = (
        click.option(
            "--pv", help="Source PV, by Channel Access or as pva://NAME; without it, the shift enters the value."
        ),
        click.option(
            "--type", type=click.Choice([*_TYPES, ""]), metavar=f"[{'|'.join(_TYPES)}]", help="Type; default: float."
        ),
        click.option("--units", help="Units, at most 8 characters."),
        click.option("--label", help="Label on screens, at most 40 characters."),
        click.option("--comment", help="For readers."),
        click.option("--deadband", type=FactorOrNothing(0), help="Smaller changes are not recorded."),
        click.option("--max-rate", type=FactorOrNothing(0), help="Maximum samples recorded per second."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@observables.command("list")
@topology_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON, with the keys of the topology.")
def list_(topology: Path, as_json: bool) -> None:
    """List the observables in the order of the run sheet."""
    loaded = load(topology)
    if as_json:
        rows = [each.model_dump(mode="json") | {"required": _is_required(loaded, each)} for each in loaded.observables]
        click.echo(json.dumps(rows, indent=1, ensure_ascii=False))
        return
    head = ("name", "label", "source", "units", "type", "deadband", "max rate", "required", "comment")
    click.echo(table([head, *(_row(loaded, each) for each in loaded.observables)]))


def _row(topology: Topology, observable: Observable) -> tuple[str, ...]:
    return (
        observable.name,
        observable.label,
        observable.pv or "(entered by the shift)",
        observable.units,
        observable.type.value,
        f"{observable.deadband:g}" if observable.deadband else "",
        f"{observable.max_rate:g}" if observable.max_rate else "",
        "yes" if _is_required(topology, observable) else "",
        observable.comment,
    )


def _is_required(topology: Topology, observable: Observable) -> bool:
    return observable.name in topology.runs.require


@observables.command()
@click.argument("name")
@_keys
@before_option
@after_option
@topology_option
@reload_option
def add(name: str, before: str | None, after: str | None, topology: Path, reload: bool, **keys: Any) -> None:
    """Add the observable NAME, at the end unless you choose a place.

    Allowed at any time, even during a run.
    """
    given = {key: value for key, value in keys.items() if value not in (None, "")}
    change = Add({"name": name, **{key: given[key] for key in _SHOWN if key in given}}, _place(before, after))
    _apply(topology, change, reload=reload, name=name)


@observables.command()
@click.argument("name")
@_keys
@topology_option
@reload_option
def change(name: str, topology: Path, reload: bool, **keys: Any) -> None:
    """Change keys of the observable NAME; an empty value ("") removes a key.

    A new type, source or unit begins a new series of samples; earlier runs are unchanged.
    """
    given = {key: None if value == "" else value for key, value in keys.items() if value is not None}
    if not given:
        options = (f"--{key.replace('_', '-')}" for key in keys)
        raise click.UsageError(f"nothing to change: give at least one of {', '.join(options)}")
    _apply(topology, Change(name, given), reload=reload, name=name)


@observables.command()
@click.argument("name")
@topology_option
@reload_option
def retire(name: str, topology: Path, reload: bool) -> None:
    """Stop recording the observable NAME.

    It is removed from the topology. The run database keeps its data.
    """
    _apply(topology, Retire(name), reload=reload, name=name)


@observables.command()
@click.argument("name")
@before_option
@after_option
@topology_option
@reload_option
def move(name: str, before: str | None, after: str | None, topology: Path, reload: bool) -> None:
    """Move the observable NAME to another place in the order of the run sheet."""
    place = _place(before, after)
    if place == Place():
        raise click.UsageError("one of --before and --after must be given")
    _apply(topology, Move(name, place), reload=reload, name=name)


def _place(before: str | None, after: str | None) -> Place:
    if before is not None and after is not None:
        raise click.UsageError("only one of --before and --after may be given")
    return Place(before, after)


def _apply(path: Path, change: Edit, *, reload: bool, name: str) -> None:
    """Change the file, print the changes, and make the IOC reload it."""
    old = load(path)
    if not change_observables(path, change):
        click.echo(f"{path} is unchanged: it already has these values")
        return
    new = load(path)
    click.echo(f"{path}: {_difference(old, new, name)}")
    if not reload:
        click.echo("the IOC has not been asked to reload it (--no-reload)")
        return
    wanted = any(each.name == name for each in new.observables)
    try:
        click.echo(asyncio.run(_reload(new.prefix, name, wanted=wanted)))
    except (Refused, PeerError) as error:
        raise type(error)(f"{path} was changed, but the IOC does not use it: {error}") from None


def _difference(old: Topology, new: Topology, name: str) -> str:
    """Describe the change of an observable in words."""
    before, after = (next((each for each in t.observables if each.name == name), None) for t in (old, new))
    names = [each.name for each in new.observables]
    if after is None:
        return f"{name} is retired; the run database keeps its data"
    index = names.index(name)
    where = f"after {names[index - 1]}" if index else "as the first"
    if before is None:
        return f"{name} is added {where}"
    pairs = [(key, getattr(before, key), getattr(after, key)) for key in _SHOWN]
    differing = [f"{key} from {_shown(a)} to {_shown(b)}" for key, a, b in pairs if a != b]
    return f"{name}: {', '.join(differing)}" if differing else f"{name} is moved, now {where}"


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "nothing" if value in (None, "") else str(value)


async def _reload(prefix: str, name: str, *, wanted: bool) -> str:
    """Make the IOC, if one is running, reload its topology; return the result.

    Raises:
        Refused: the IOC does not take the file, has read another one, or this client may not reload it.
        PeerError: the IOC does not answer any more.
    """
    from ioc.cli.running import CONNECT_SECONDS, is_served, put

    reload = f"{prefix}IOC:Reload"
    if not await is_served(reload):
        return (
            f"not reloaded: no IOC answers for {reload} within {CONNECT_SECONDS:g} s. If it runs, EPICS_CA_ADDR_LIST "
            "must name its machine or network; if not, it reads the file when it starts"
        )
    await put(reload, 1, f"{prefix}Message")
    if await is_served(f"{prefix}Obs:{name}:Connected", 1.0) != wanted:
        has = "has no" if wanted else "still has an"
        raise Refused(f"{reload} was successful, but it {has} observable {name}: its topology is another file")
    return f"reloaded by the IOC ({reload})"
