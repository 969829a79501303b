"""The page behind a real nginx, with the configuration of the documentation."""

from __future__ import annotations

import asyncio
import base64
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from ioc.sim.ports import free_port
from tests.web.serving import Viewer, Web

NGINX = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "web.md"
LOGIN = {"Authorization": f"Basic {base64.b64encode(b'ada:secret').decode()}"}


def configuration(port: int, target: int, directory: Path) -> str:
    """The server of the documentation, without TLS and in a directory of its own."""
    block = re.search(r"```nginx\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert block is not None
    server = re.sub(r"    ssl_.*\n", "", block[1])
    server = server.replace("listen 443 ssl", f"listen 127.0.0.1:{port}").replace(
        "127.0.0.1:8002", f"127.0.0.1:{target}"
    )
    server = server.replace("/etc/nginx/attpc.htpasswd", str(directory / "htpasswd"))
    temporary = "".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "user root;" if os.geteuid() == 0 else ""
    return (
        f"{user} daemon off; master_process off; pid {directory}/pid; error_log {directory}/error.log;\n"
        f"events {{}}\nhttp {{ access_log off; {temporary}\n{server}\n}}\n"
    )


@pytest.mark.skipif(
    NGINX is None, reason="nginx is not installed: the configuration of docs/how-to/web.md is not tried"
)
async def test_the_documented_configuration(start: Callable[..., Web], tmp_path: Path) -> None:
    """nginx asks for a password, tells the user whatever the browser claims, and passes each event on at once."""
    assert NGINX is not None
    web = start("--login-header", "X-Remote-User")
    port = free_port()
    (tmp_path / "htpasswd").write_text("ada:{PLAIN}secret\n")
    (tmp_path / "nginx.conf").write_text(configuration(port, web.port, tmp_path))
    nginx = subprocess.Popen([NGINX, "-c", tmp_path / "nginx.conf"], stderr=subprocess.PIPE, text=True)
    try:
        direct = web.port
        web.port = port
        deadline = time.monotonic() + 60
        while True:
            try:
                answer = web.ask("/")
                break
            except OSError:
                assert nginx.poll() is None, nginx.communicate()[1]
                assert time.monotonic() < deadline
                await asyncio.sleep(0.05)
        assert answer.status == 401
        page = web.ask("/", headers={**LOGIN, "X-Remote-User": "eve", "Host": "daq.example.org"})
        assert page.status == 200
        assert "<bdi>ada</bdi>" in page.text
        viewer = await stream(web)
        began = time.monotonic()
        for _ in range(3):
            await viewer.read()
        assert time.monotonic() - began < 20, "events are not held back"
        assert viewer.event["health"] == "never"
        await viewer.close()
        web.port = direct
        assert web.ask("/").status == 403
    finally:
        nginx.terminate()
        nginx.communicate()


async def stream(web: Web) -> Viewer:
    """The stream through nginx, as a browser that has logged in asks for it."""
    return await web.viewer(f"Authorization: {LOGIN['Authorization']}\r\nHost: daq.example.org\r\n")
