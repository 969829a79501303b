"""The client of the ECC servers (``getEccSoapServer``); the only place that knows SOAP."""

from ioc.ecc.client import ZeepEccClient

__all__ = ["ZeepEccClient"]
