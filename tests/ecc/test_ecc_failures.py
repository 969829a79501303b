"""Every way in which a server can fail becomes one sentence within the time-out."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
import time
import tracemalloc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from ioc.ecc.http import MAX_BODY
from ioc.errors import PeerError, PeerHangs, PeerRejected, PeerTimeout
from ioc.model import ConfigChoice, Operation, TransitionReply
from tests.ecc.scripted import (
    Connection,
    MakeClient,
    MakeServer,
    Script,
    envelope,
    http,
    state_reply,
    text_reply,
)
from tests.laps import Laps

CONFIG = ConfigChoice("d", "p", "c")
TIMEOUT = 1.5
GOOD = state_reply()


@dataclass(frozen=True)
class Failure:
    """One way to fail, and what the client must make of it."""

    name: str
    script: Script
    error: type[PeerError]
    message: str
    """Part of what follows ``ECC server CoBo3 at HOST:PORT``."""


def sends(data: bytes) -> Script:
    """A script that sends these bytes and closes."""
    return lambda connection: connection.send(data)


def flood(connection: Connection) -> None:
    """Send more than the client may read."""
    connection.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\n\r\n")
    while not connection.closing.is_set():
        try:
            connection.peer.sendall(b"x" * 2**20)
        except OSError:
            return


def flood_of_continues(connection: Connection) -> None:
    """Send interim answers for ever."""
    while not connection.closing.is_set():
        try:
            connection.peer.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)
        except OSError:
            return


@contextlib.contextmanager
def full_backlog() -> Iterator[int]:
    """A port whose system takes no further connection, so that connecting hangs."""
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


BILLION_LAUGHS = (
    "<!DOCTYPE lolz [<!ENTITY a 'lol'>"
    + "".join(f"<!ENTITY {chr(98 + n)} '{f'&{chr(97 + n)};' * 10}'>" for n in range(9))
    + "]>"
)

REFERENCE_BOMB = "<ecc:ResponseState><a href='#r0'/></ecc:ResponseState>" + "".join(
    f"<r id='r{n}'>" + f"<a href='#r{n + 1}'/>" * 10 + "</r>" for n in range(12)
)

FAILURES = [
    Failure("no-answer", Connection.hang, PeerHangs, "did not answer GetState within 1.5 s"),
    Failure("byte-by-byte", lambda c: c.trickle(GOOD, 0.05), PeerHangs, "did not answer GetState within 1.5 s"),
    Failure("head-then-silence", lambda c: (c.send(GOOD[:60]), c.hang()), PeerHangs, "did not answer GetState"),
    Failure("body-then-silence", lambda c: (c.send(GOOD[:-5]), c.hang()), PeerHangs, "did not answer GetState"),
    Failure("endless-continue", flood_of_continues, PeerHangs, "did not answer GetState within 1.5 s"),
    Failure("eof", sends(b""), PeerError, "closed the connection without an answer to GetState"),
    Failure("reset", Connection.reset, PeerError, "broke the connection (Connection reset by peer) instead of answer"),
    Failure("truncated-body", sends(GOOD[:-5]), PeerError, "sent a truncated answer to GetState: "),
    Failure("truncated-head", sends(GOOD[:40]), PeerError, "sent a truncated answer to GetState: "),
    Failure("truncated-status", sends(b"HTT"), PeerError, "sent a truncated answer to GetState: "),
    Failure(
        "truncated-chunk",
        sends(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n<a>"),
        PeerError,
        "sent a truncated answer to GetState",
    ),
    Failure(
        "not-http", sends(b"SSH-2.0-OpenSSH_9.2\r\n"), PeerError, "answered GetState with something that is not HTTP"
    ),
    Failure("endless-head", sends(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 20_000), PeerError, "that is not HTTP"),
    Failure("huge-line", sends(b"HTTP/1.1 200 OK\r\nX: " + b"y" * 200_000), PeerError, "something that is not HTTP"),
    Failure("bad-length", sends(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n"), PeerError, "that is not HTTP"),
    Failure("empty", sends(http("")), PeerError, "answered GetState with an empty body"),
    Failure(
        "500-bare", sends(http("", "500 Internal Server Error")), PeerError, "with HTTP status 500 (Internal Server"
    ),
    Failure("500-text", sends(http("oops", "500 Oops")), PeerError, "HTTP status 500 (Oops) and no SOAP fault"),
    Failure(
        "500-xml", sends(http(envelope("<a>Fault</a>"), "500 Oops")), PeerError, "status 500 (Oops) and no SOAP fault"
    ),
    Failure("500-html", sends(http("<p>Fault</p>", "500 Oops", "text/html")), PeerError, "with HTML instead of SOAP"),
    Failure(
        "404", sends(http("none", "404 Not Found")), PeerError, "with HTTP status 404 (Not Found) and no SOAP fault"
    ),
    Failure(
        "redirect",
        sends(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
        PeerError,
        "answered GetState with HTTP status 302 (Found)",
    ),
    Failure(
        "fault",
        sends(
            http(
                envelope("<S:Fault><faultcode>S:Server</faultcode><faultstring>no memory</faultstring></S:Fault>"),
                "500 Internal Server Error",
            )
        ),
        PeerError,
        "answered GetState with a SOAP fault: no memory",
    ),
    Failure(
        "html", sends(http("<html><body>Hi</body></html>", content_type="text/html")), PeerError, "HTML instead of"
    ),
    Failure(
        "html-as-xml", sends(http("<html><body>Hi<br></body></html>")), PeerError, "answered GetState with invalid"
    ),
    Failure("xhtml-as-xml", sends(http("<html><body>Hi</body></html>")), PeerError, "XML that is not the answer to it"),
    Failure("binary", sends(http(b"\x00\xff\xfe\x01")), PeerError, "answered GetState with invalid XML"),
    Failure(
        "no-body", sends(http("<S:Envelope xmlns:S='http://schemas.xmlsoap.org/soap/envelope/'/>")), PeerError, "not"
    ),
    Failure("wrong-reply", sends(text_reply()), PeerError, "answered GetState with XML that is not the answer to it"),
    Failure("no-number", sends(state_reply(state="")), PeerError, "answered GetState with no number as its state"),
    Failure(
        "word-as-state", sends(state_reply(state="five")), PeerError, "answered GetState with no number as its state"
    ),
    Failure(
        "state-7", sends(state_reply(state=7)), PeerError, "with 7 as its state, but it must be 0 (Off) to 6 (Paused)"
    ),
    Failure("state-below", sends(state_reply(state=-1)), PeerError, "answered GetState with -1 as its state"),
    Failure(
        "transition-10", sends(state_reply(transition=10)), PeerError, "with 10 as its transition, but it must be 0"
    ),
    Failure(
        "no-code", sends(state_reply(code="")), PeerError, "answered GetState with XML that is not the answer to it"
    ),
    Failure("own-error", sends(state_reply(code=2, message="x")), PeerRejected, "failed GetState with code 2: x"),
    Failure("flood", flood, PeerError, "sent more than 16 MiB in answer to GetState"),
    Failure(
        "announced-flood",
        sends(f"HTTP/1.1 200 OK\r\nContent-Length: {2**40}\r\n\r\n".encode() + b"x" * (MAX_BODY + 1)),
        PeerError,
        "sent more than 16 MiB in answer to GetState",
    ),
    Failure(
        "dtd",
        sends(http(envelope("<a/>", "<!DOCTYPE S:Envelope SYSTEM 'http://127.0.0.1:1/x.dtd'>"))),
        PeerError,
        "answered GetState with XML that has a DTD, which is refused",
    ),
    Failure(
        "external-entity",
        sends(http(envelope("<a>&x;</a>", "<!DOCTYPE a [<!ENTITY x SYSTEM 'file:///etc/passwd'>]>"))),
        PeerError,
        "answered GetState with XML that has a DTD, which is refused",
    ),
    Failure(
        "billion-laughs", sends(http(envelope("<a b='&j;'>&j;</a>", BILLION_LAUGHS))), PeerError, "answered GetState"
    ),
    Failure("references", sends(http(envelope(REFERENCE_BOMB))), PeerError, "with XML that has references or more"),
    Failure("many-elements", sends(http(envelope("<a/>" * 50_000))), PeerError, "or more than 100 elements, which is"),
]


@pytest.mark.parametrize("failure", FAILURES, ids=lambda failure: failure.name)
async def test_each_failure_is_one_sentence_in_time(server: MakeServer, client: MakeClient, failure: Failure) -> None:
    """The error has the class and the text of the table, names the server, comes in time, and nothing is sent twice."""
    ecc = server(failure.script)
    peer = client(ecc.port, state=TIMEOUT if failure.error is PeerHangs else 60)
    began = time.monotonic()
    with pytest.raises(PeerError) as caught:
        await peer.get_state()
    assert type(caught.value) is failure.error
    text = str(caught.value)
    assert text.startswith(f"ECC server CoBo3 at 127.0.0.1:{ecc.port} ")
    assert failure.message in text
    assert "\n" not in text
    if failure.error is PeerHangs:
        assert TIMEOUT * 0.9 < time.monotonic() - began < TIMEOUT + 1.0
    assert len(ecc.requests) == 1


@pytest.mark.parametrize("failure", FAILURES[:12], ids=lambda failure: failure.name)
async def test_a_transition_is_sent_once_whatever_happens(
    server: MakeServer, client: MakeClient, failure: Failure
) -> None:
    """A transition that fails on the wire is not tried again."""
    ecc = server(failure.script)
    peer = client(ecc.port, transition=TIMEOUT if failure.error is PeerHangs else 60)
    with pytest.raises(PeerError) as caught:
        await peer.transition(Operation.Start, CONFIG, ())
    error = PeerTimeout if failure.error is PeerHangs else failure.error  # its electronics may be what hangs
    assert type(caught.value) in (error, PeerError)
    assert ecc.operations() == ["Start"]


async def test_a_flood_of_small_chunks_delays_nothing_else(server: MakeServer, client: MakeClient) -> None:
    """While a server sends chunks of one byte for ever, the event loop has a turn all the time."""

    def flood(connection: Connection) -> None:
        connection.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with contextlib.suppress(OSError):
            while not connection.closing.is_set():
                connection.peer.sendall(b"1\r\nx\r\n" * 10_000)

    call = asyncio.create_task(client(server(flood).port, state=2).get_state())
    with Laps() as laps:
        while not call.done():
            await laps.turn()
    with pytest.raises(PeerTimeout):
        await call
    assert laps.longest < 0.25


async def test_a_refused_answer_does_not_stay_in_memory(server: MakeServer, client: MakeClient) -> None:
    """What a server sent beyond the limit is released with the error, not at the next garbage collection."""
    peer = client(server(flood).port, state=60)
    gc.disable()
    tracemalloc.start()
    try:
        for _ in range(2):
            with contextlib.suppress(PeerError):
                await peer.get_state()
            await asyncio.sleep(0)  # the present turn of the event loop has the error, too
        kept, highest = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        gc.enable()
    assert highest > MAX_BODY
    assert kept < MAX_BODY / 4


async def test_refused_connection_says_what_to_do(client: MakeClient) -> None:
    """Where nobody listens, the sentence says that the server must be started."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(PeerError, match=r"cannot be reached for GetState \(.*start getEccSoapServer"):
        await client(port).get_state()


async def test_full_backlog_is_a_timeout(client: MakeClient) -> None:
    """A host that does not answer the connection itself is a time-out, but shows no server that hangs."""
    with full_backlog() as port:
        began = time.monotonic()
        with pytest.raises(PeerTimeout, match="did not answer GetState within") as caught:
            await client(port, state=TIMEOUT).get_state()
        assert type(caught.value) is PeerTimeout
        assert time.monotonic() - began < TIMEOUT + 1.0


async def test_unknown_host_name_is_named(client: MakeClient, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host name that does not resolve is an error with the resolver's reason."""

    def unknown(*_arguments: object, **_keywords: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(PeerError) as caught:
        await client(8083, host="no-such-host.invalid").get_state()
    assert str(caught.value) == (
        "ECC server CoBo3 at no-such-host.invalid:8083 cannot be asked for GetState: "
        "its host name cannot be resolved (Name or service not known)"
    )


async def test_overlong_host_name_is_an_error(client: MakeClient) -> None:
    """A host name that cannot even be encoded is an error of the peer like any other."""
    with pytest.raises(PeerError, match="its host name cannot be resolved"):
        await client(8083, host="x" * 300, state=2).get_state()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("&lt;ConfigIdSet>&lt;ConfigId>a&amp;b&lt;/ConfigId>&lt;/ConfigIdSet>", "is not valid XML"),
        ("", "is not valid XML"),
        ("no list", "is not valid XML"),
        ("&lt;Other/>", "is a Other, but must be a ConfigIdSet"),
        ("&lt;!DOCTYPE a>&lt;ConfigIdSet/>", "has a DTD, which is refused"),
    ],
)
async def test_bad_list_of_configurations_is_reported(
    server: MakeServer, client: MakeClient, text: str, message: str
) -> None:
    """A list that is no XML, as a file named a&b makes it, is reported with the server's name."""
    ecc = server(sends(text_reply(text)))
    with pytest.raises(PeerError) as caught:
        await client(ecc.port).get_configs()
    assert str(caught.value).startswith(f"ECC server CoBo3 at 127.0.0.1:{ecc.port} answered GetConfigIDs, but the list")
    assert message in str(caught.value)


async def test_unusable_configuration_is_left_out_with_a_warning(
    server: MakeServer, client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A name that may not be sent does not hide the others; the log says which it is."""
    entry = "&lt;ConfigId>" + "".join(
        f'&lt;SubConfigId type="{kind}">{{0}}&lt;/SubConfigId>' for kind in ("describe", "prepare", "configure")
    )
    entries = "".join(entry.format(name) + "&lt;/ConfigId>" for name in ("good", "bad(1)", "other"))
    ecc = server(sends(text_reply(f"&lt;ConfigIdSet>{entries}&lt;/ConfigIdSet>")))
    configs = await client(ecc.port).get_configs()
    assert [config.describe for config in configs] == ["good", "other"]
    assert "'bad(1)'" in caplog.text


async def test_unreadable_sources_do_not_undo_a_describe(
    server: MakeServer, client: MakeClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A reply to Describe that is no list of sources tells nothing, with a warning; an empty one tells nothing."""
    ecc = server(sends(text_reply("&lt;broken")))
    peer = client(ecc.port)
    assert await peer.transition(Operation.Describe, CONFIG, ()) == TransitionReply()
    assert "answered Describe, but the list of data sources is not valid XML" in caplog.text
    caplog.clear()
    ecc.script = sends(text_reply(""))
    assert await peer.transition(Operation.Describe, CONFIG, ()) == TransitionReply()
    assert caplog.text == ""


async def test_unsafe_configuration_is_never_sent(server: MakeServer, client: MakeClient) -> None:
    """A configID with a name that could kill the server is refused before anything is sent."""
    ecc = server(sends(text_reply()))
    with pytest.raises(PeerError, match="was not sent Describe: configuration name ''"):
        await client(ecc.port).transition(Operation.Describe, ConfigChoice("", "p", "c"), ())
    assert ecc.requests == []


async def test_client_recovers_after_each_failure(server: MakeServer, client: MakeClient) -> None:
    """After any failure the next request on the same client is answered."""
    for failure in FAILURES[5:12]:
        ecc = server(failure.script)
        peer = client(ecc.port, state=TIMEOUT)
        with pytest.raises(PeerError):
            await peer.get_state()
        ecc.script = sends(GOOD)
        assert (await peer.get_state()).state == 1
