"""The buttons that restart a program: only on the pages of an installation whose programs have units."""

from __future__ import annotations

from dataclasses import dataclass
from xml.sax.saxutils import escape

from ioc.screens.bob import insert_after
from ioc.topology.derived import units_of
from ioc.topology.schema import Topology


@dataclass(frozen=True)
class _Place:
    """Where a page has the button, and what it says."""

    after: str
    """Name of the widget that it follows, in the same group."""
    x: int
    y: int
    width: int
    height: int
    component: str
    """Its PVs, after the prefix."""
    question: str


_PLACES = {
    "ecc.bob": _Place(
        *("Resume", 354, 204, 164, 46, "ECC:$(NAME):"),
        "The server forgets its configuration, and then needs Describe, Prepare and Configure. Restart the program of "
        "ECC server $(NAME)?",
    ),
    "router.bob": _Place(
        *("Organize", 220, 116, 200, 54, "Router:$(NAME):"),
        "After Configure, its ECC server then needs Breakup and Configure. Restart the program of router $(NAME)?",
    ),
}

_ENABLED = "pv0 == 0 && pv1 == 0 && (pv2 == 0 || pv2 == 6 || (pv2 == 5 && pv3 == 0))"
# Closed unless every PV of its rule is connected. As in the core: no run is open, or its files wait for this program.
_BUTTON = """
    <widget type="action_button" version="3.0.0">
      <name>Restart</name>
      <class>ATTPC_BUTTON</class>
      <actions>
        <action type="write_pv">
          <description>Restart</description>
          <pv_name>$(pv_name)</pv_name>
          <value>Busy</value>
        </action>
      </actions>
      <pv_name>{p}{component}Restart</pv_name>
      <text>Restart</text>
      <x>{x}</x>
      <y>{y}</y>
      <width>{width}</width>
      <height>{height}</height>
      <font>
        <font name="ATTPC Body" family="Liberation Sans" style="REGULAR" size="16.0">
        </font>
      </font>
      <foreground_color use_class="true">
        <color name="ATTPC Text" red="24" green="26" blue="28">
        </color>
      </foreground_color>
      <background_color use_class="true">
        <color name="ATTPC Button" red="200" green="204" blue="209">
        </color>
      </background_color>
      <visible>false</visible>
      <rules>
        <rule name="visible where it exists" prop_id="visible" out_exp="false">
          <exp bool_exp="pv0 &gt;= 0">
            <value>true</value>
          </exp>
          <pv_name>{p}{component}Restart</pv_name>
        </rule>
        <rule name="enabled by state" prop_id="enabled" out_exp="false">
          <exp bool_exp="{enabled}">
            <value>true</value>
          </exp>
          <pv_name>{p}{component}Restart</pv_name>
          <pv_name>{p}Busy</pv_name>
          <pv_name>{p}Run:State</pv_name>
          <pv_name>{p}{component}Online</pv_name>
        </rule>
      </rules>
      <tooltip>$(pv_name)</tooltip>
      <enabled>false</enabled>
      <show_confirm_dialog>true</show_confirm_dialog>
      <confirm_message>{question}</confirm_message>
    </widget>"""


def with_restart(topology: Topology, pages: dict[str, str], p: str) -> dict[str, str]:
    """Return the pages, with the buttons where they can do something; `p` is the prefix in the pages."""
    kinds = {"ecc.bob": topology.ecc_servers, "router.bob": topology.data_routers}
    used = [name for name, components in kinds.items() if any(units_of(topology, each) for each in components)]
    return {**pages, **{name: _with_button(pages[name], _PLACES[name], p) for name in used}}


def _with_button(page: str, place: _Place, p: str) -> str:
    return insert_after(place.after, page, _BUTTON.format(p=p, enabled=escape(_ENABLED), **vars(place)))
