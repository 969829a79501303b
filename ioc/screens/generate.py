"""All files of an installation's ``opi`` folder."""

from __future__ import annotations

from pathlib import Path

from ioc.errors import PeerError
from ioc.screens.alarm_tree import alarm_tree
from ioc.screens.charts import OVERVIEW, PAGE, charts, data_browser_plot
from ioc.screens.lists import list_files
from ioc.screens.optional import with_parts
from ioc.screens.pv_lists import archiver_list, pv_table, save_restore_list
from ioc.topology.schema import Topology

_PAGES = Path(__file__).with_name("pages")
_PREFIX = "$(P=ATTPC:)"
"""The prefix macro used in the pages: it can be set on Phoebus' command line and has a default."""


def screen_files(topology: Topology) -> dict[str, str]:
    p = f"$(P={topology.prefix})"
    pages = {page.name: page.read_text(encoding="utf-8") for page in sorted(_PAGES.iterdir()) if page.is_file()}
    pause_only = pages.pop("pause_only.bob")
    if not all(server.supports_resume for server in topology.ecc_servers):
        pages["pause.bob"] = pause_only
    if not topology.partners:
        del pages["partner_tile_row.bob"]
    if topology.archiver is not None:
        pages["settings.ini"] = _with_archive(pages["settings.ini"], topology.archiver)
    pages = with_parts(topology, pages)
    return {
        **{name: text.replace(_PREFIX, p) for name, text in pages.items()},
        **list_files(topology),
        "chart_list.bob": charts(topology, p, PAGE),
        "overview_chart.bob": charts(topology, p, OVERVIEW),
        "alarm-tree.xml": alarm_tree(topology),
        "observables.plt": data_browser_plot(topology),
        "overview.pvs": pv_table(topology),
        "save-restore.csv": save_restore_list(topology),
        "archiver.json": archiver_list(topology),
    }


def _with_archive(settings: str, address: str) -> str:
    """Return the settings with the archive that plots read."""
    archive = f"pbraw\\{address.removeprefix('http')}|Archive"
    for key in ("urls", "archives"):
        setting = f"org.csstudio.trends.databrowser3/{key}="
        settings = settings.replace(f"{setting}\n", f"{setting}{archive}\n")
    return settings


def write_screens(topology: Topology, folder: Path) -> tuple[Path, ...]:
    """Write every file into `folder`, which is created if necessary; other files stay.

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
