"""Groups of PVs: a state renders what depends on a part that is another object than before, and nothing else."""

from __future__ import annotations

from dataclasses import replace

from ioc.pvs.group import Group
from ioc.runlogic.state import State
from tests.pvs.panel import Panel


def test_only_what_depends_on_a_change_is_rendered(panel: Panel) -> None:
    """Each rule is called for the first state, and then when one of its parts changed."""
    group, rendered = Group("T:"), []

    def rule(name: str) -> None:
        def render(state: State) -> None:
            rendered.append(name)

        group.follow(lambda state: (getattr(state, name),), render)

    for name in ("experiment", "missing", "message"):
        rule(name)
    state = panel.bench.engine.state
    group.update(state)
    assert rendered == ["experiment", "missing", "message"]
    group.update(replace(state))
    group.update(changed := replace(state, missing=frozenset({"pressure"})))
    assert rendered[3:] == ["missing"]
    group.update(replace(changed, experiment="other", missing=frozenset()))
    assert rendered[4:] == ["experiment", "missing"]
