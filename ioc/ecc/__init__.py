"""The client of the ECC servers (``getEccSoapServer``); the only place that knows SOAP."""

from ioc.ecc.client import ZeepEccClient, build_clients

__all__ = ["ZeepEccClient", "build_clients"]
