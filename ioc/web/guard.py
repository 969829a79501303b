"""Who is answered, and with which headers: the outermost layer of the live page and of ``attpc-ioc browse``.

Only GET and HEAD are answered: nothing here writes. A page of another site can make a browser ask us under that site's
name (DNS rebinding); so only names of this machine, addresses and `localhost` are accepted as Host.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Mapping

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ioc.web.svg import STYLE_HASH

LOGIN = "login"
"""Key of the user's name in the scope of a request."""
DATABASE_URL = "/database/"

_CLOSED = "default-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
POLICY = f"{_CLOSED}; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'"
_PICTURE_POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; frame-ancestors 'none'"
_DATASETTE_POLICY = (
    f"{_CLOSED}; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; font-src 'self'"
)
"""Datasette has its scripts in its pages; it is served read-only and without logins."""
_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Refuses what is not for us, and adds the headers of security to what is answered."""

    def __init__(self, app: ASGIApp, host: str, login_header: str | None, datasette: str = DATABASE_URL) -> None:
        """`host` is the address that is served; `login_header` the name of the proxy's header, if a login is needed.

        All below the URL `datasette` is Datasette's.
        """
        self._app = app
        self._datasette = datasette
        machine = {socket.gethostname().lower(), socket.getfqdn().lower()}
        self._names = {"localhost", host.lower(), *machine, *(name.partition(".")[0] for name in machine)}
        self._login_header = login_header

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            if scope["type"] == "lifespan":
                await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = MutableHeaders(raw=message.setdefault("headers", []))
                for name, value in _HEADERS.items():
                    added[name] = value
                added["Content-Security-Policy"] = self._policy(scope["path"], added.get("content-type", ""))
            await send(message)

        scope[LOGIN] = headers.get(self._login_header, "") if self._login_header else ""
        await (self._refusal(scope["method"], headers) or self._app)(scope, receive, send_with_headers)

    def _refusal(self, method: str, headers: Headers) -> PlainTextResponse | None:
        if method not in {"GET", "HEAD"}:
            return PlainTextResponse(
                "This page is read-only: only GET and HEAD are allowed.", 405, {"Allow": "GET, HEAD"}
            )
        name = _name(headers.get("host", ""))
        if not self._is_ours(name):
            return PlainTextResponse(
                f"This server does not answer to the name {name[:100]!a}: use its address or the name of its "
                "machine. A proxy must send one of these as Host.",
                400,
            )
        if self._login_header and not headers.get(self._login_header, "").strip():
            return PlainTextResponse("Log in first: the request has no user name.", 403)
        return None

    def _policy(self, path: str, content_type: str) -> str:
        if path.startswith(self._datasette):
            return _DATASETTE_POLICY
        return _PICTURE_POLICY if content_type.startswith("image/svg") else POLICY

    def _is_ours(self, name: str) -> bool:
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return name.lower().rstrip(".") in self._names
        return True


def _name(host: str) -> str:
    """The Host header without its port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0]
