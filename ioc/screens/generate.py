"""All files of an installation's ``opi`` folder."""

from __future__ import annotations

from pathlib import Path

from ioc.errors import PeerError
from ioc.screens.alarm_tree import alarm_tree
from ioc.screens.archiver import archiver_list
from ioc.screens.charts import chart_list
from ioc.screens.classes import widget_classes
from ioc.screens.data_browser import data_browser_plot
from ioc.screens.ecc_page import ecc_page
from ioc.screens.expert_page import expert_page
from ioc.screens.history_page import history_page
from ioc.screens.lists import list_files
from ioc.screens.main_page import main_page
from ioc.screens.observables_page import observables_page
from ioc.screens.palette import colour_definitions, font_definitions
from ioc.screens.pv_table import pv_table
from ioc.screens.router_page import router_page
from ioc.screens.run_page import run_page
from ioc.screens.save_restore import save_restore_list
from ioc.screens.settings import settings
from ioc.topology.schema import Topology


def screen_files(topology: Topology) -> dict[str, str]:
    """Return the text of every file by its name."""
    p = f"$(P={topology.prefix})"
    return {
        "main.bob": main_page(topology, p),
        "run.bob": run_page(topology, p),
        "observables.bob": observables_page(topology, p),
        "history.bob": history_page(p),
        "expert.bob": expert_page(p),
        "ecc.bob": ecc_page(p),
        "router.bob": router_page(p),
        **list_files(topology, p),
        "chart_list.bob": chart_list(topology, p),
        "attpc-classes.bcf": widget_classes(),
        "attpc-colors.def": colour_definitions(),
        "attpc-fonts.def": font_definitions(),
        "settings.ini": settings(),
        "alarm-tree.xml": alarm_tree(topology),
        "observables.plt": data_browser_plot(topology),
        "overview.pvs": pv_table(topology),
        "save-restore.csv": save_restore_list(topology),
        "archiver.json": archiver_list(topology),
    }


def write_screens(topology: Topology, folder: Path) -> tuple[Path, ...]:
    """Write every file into `folder`, which is made if need be; files of other names stay.

    Raises:
        PeerError: if the folder or a file cannot be written.
    """
    paths: list[Path] = []
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in screen_files(topology).items():
            path = folder / name
            path.write_text(text, encoding="utf-8", newline="\n")
            paths.append(path)
    except OSError as error:
        raise PeerError(f"screens cannot be written to {folder}: {error.strerror or error}") from None
    return tuple(paths)
