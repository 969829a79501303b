"""Partners: other data acquisitions that run with ours. So far FRIBDAQ, by the remote control of its ReadoutGUI."""

from ioc.partners.connect import Place
from ioc.partners.readout_gui import ReadoutGui

__all__ = ["Place", "ReadoutGui"]
