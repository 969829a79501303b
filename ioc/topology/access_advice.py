"""Rules of `access` that do not do what they seem to."""

from __future__ import annotations

import re
from collections.abc import Iterator

from ioc.topology.document import Fault, show
from ioc.topology.messages import said
from ioc.topology.schema import AccessRule, Topology


def advise_access(topology: Topology) -> Iterator[Fault]:
    """Yield every warning."""
    rules = topology.access
    if rules is None:
        return
    if not any(rule.write for rule in rules):
        yield ("access",), "access has no rule with write: true, but should have one: nobody may write a PV"
    for index, rule in enumerate(rules):
        loc = ("access", index)
        if not _may_match(rule.pvs, topology.prefix):
            yield said(
                (*loc, "pvs"),
                rule.pvs,
                f"should begin with our prefix {topology.prefix} or '*': it matches none of our PVs",
            )
        if _matches_all(rule) and index < len(rules) - 1:
            yield loc, f"{show(loc)} matches everything, but should be the last rule: those after it are never asked"
            return


def _matches_all(rule: AccessRule) -> bool:
    return set(rule.pvs) == {"*"} and not rule.hosts and any(set(user) == {"*"} for user in rule.users)


def _may_match(pattern: str, prefix: str) -> bool:
    """Whether a pattern can match a name with this prefix: as far as both have letters, these are the same."""
    literal = re.split(r"[*?\[]", pattern, maxsplit=1)[0]
    return literal.startswith(prefix) or (literal != pattern and prefix.startswith(literal))
