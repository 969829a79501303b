"""The Phoebus screens of an installation and the files beside them.

The pages are display files in ``pages/``, edited by hand or with Phoebus' own editor and copied as they are. Only what
depends on the topology is generated: lists with a row per component (`lists`), charts (`charts`), the alarm tree
(`alarm_tree`) and lists of PVs (`pv_lists`). The same topology gives the same bytes.
"""

from ioc.screens.generate import screen_files, write_screens
from ioc.screens.pv_lists import archiver_list

__all__ = ["archiver_list", "screen_files", "write_screens"]
