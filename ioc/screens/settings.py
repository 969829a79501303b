"""The settings that Phoebus needs to show the screens as they are meant."""

from __future__ import annotations

_TEXT = """\
# Start Phoebus in this folder:
#   phoebus.sh -settings settings.ini -resource "file:main.bob?app=display_runtime"
# If another installation has its own settings, copy these lines there and write whole paths.

# Texts come as arrays of characters, which are not all of one length
org.phoebus.pv.ca/variable_length_array=true

# Named colours, fonts and widget classes
org.csstudio.display.builder.model/color_files=attpc-colors.def
org.csstudio.display.builder.model/font_files=attpc-fonts.def
org.csstudio.display.builder.model/class_files=attpc-classes.bcf
"""


def settings() -> str:
    """Return ``settings.ini``."""
    return _TEXT
