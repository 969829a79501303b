"""The client of the ECC servers (``getEccSoapServer``); the only place that knows SOAP."""
