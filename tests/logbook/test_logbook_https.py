"""An Olog by https: its certificate is checked before the password is sent."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from ioc.rundb import SqliteRunStore
from tests.epics import eventually
from tests.logbook.conftest import Desk, finished_run
from tests.logbook.olog_stub import OlogStub
from tests.logbook.test_logbook_olog import working


def certificate(folder: Path) -> Path:
    """A file with a key and a certificate of its own for 127.0.0.1."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "olog")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    form, no_password = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    file = folder / "olog.pem"
    file.write_bytes(key.private_bytes(pem, form, no_password) + made.public_bytes(pem))
    return file


async def test_only_a_trusted_service_gets_entries(
    store: SqliteRunStore, desk: Desk, to_olog: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An unknown certificate keeps the entries waiting; when the machine trusts it, they are sent."""
    file = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    with OlogStub(secure=context) as olog:
        async with working(desk.keeper(to_olog(olog), seconds=5), await finished_run(store)) as keeper:
            await eventually(lambda: "cannot be reached" in keeper.problem)
            assert olog.requests == []
            monkeypatch.setenv("SSL_CERT_FILE", str(file))
            await eventually(lambda: len(olog.entries) == 2)
