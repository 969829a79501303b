"""The settings that Phoebus needs to show the screens as they are meant."""

from __future__ import annotations

_TEXT = """\
# Start Phoebus in this folder:
#   phoebus.sh -settings settings.ini -resource "file:$PWD/main.bob?app=display_runtime"
# An IOC with another prefix: "file:$PWD/main.bob?app=display_runtime&P=OTHER:"
# If your installation has its own settings, copy these lines there and write whole paths.

# Where the IOC is, if it does not answer a broadcast:
# org.phoebus.pv.ca/addr_list=192.168.41.1

# Texts come as arrays of characters, which are not all of one length
org.phoebus.pv.ca/variable_length_array=true

# No archive: otherwise Phoebus asks one on this machine for the past of every curve, and logs that there is none.
# With the EPICS Archiver Appliance, twice: pbraw\\://HOST:17668/retrieval|Archive
org.csstudio.trends.databrowser3/urls=
org.csstudio.trends.databrowser3/archives=

# Named colours, fonts and widget classes
org.csstudio.display.builder.model/color_files=attpc-colors.def
org.csstudio.display.builder.model/font_files=attpc-fonts.def
org.csstudio.display.builder.model/class_files=attpc-classes.bcf
"""


def settings() -> str:
    """Return ``settings.ini``."""
    return _TEXT
