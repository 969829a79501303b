"""The pages: rendered in threads from templates, with the run database opened for each request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import anyio.to_thread
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from ioc import __version__
from ioc.errors import AttpcError, PeerError, Refused
from ioc.model import Severity
from ioc.rundb.formats import duration, local_time, percent, size, value_text
from ioc.rundb.pages import PageBook
from ioc.rundb.times import from_text
from ioc.topology.schema import Topology
from ioc.web.changes import changes
from ioc.web.guard import LOGIN
from ioc.web.live import Live
from ioc.web.svg import WIDTHS, Piece, Point, RunCurve, run_picture, trend_picture

_log = logging.getLogger(__name__)

RUNS_A_PAGE = 50
TREND_RUNS = 500
_LONGEST_SEARCH = 200
_THREADS = 6
"""Requests that read the database at a time; others wait."""
_LARGEST = 2**63 - 1
_TROUBLE = {PeerError: 503, Refused: 404}
_NUMERIC = {"float", "integer"}


class Pages:
    """Everything but the stream, of one run database."""

    def __init__(self, live: Live, topology: Callable[[], Topology], database: Path, *, datasette: bool) -> None:
        self._live = live
        self._topology = topology
        self._database = database
        self._datasette = datasette
        self._closing = threading.Event()
        self._limiter = anyio.CapacityLimiter(_THREADS)
        self._templates = Environment(
            loader=PackageLoader("ioc.web"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters.update(
            local_time=local_time,
            duration=duration,
            size=size,
            percent=percent,
            value=value_text,
            severity=lambda number: Severity(number).name,
        )
        self.routes = [
            Route("/", self._page(self._now)),
            Route("/runs", self._page(self._runs)),
            Route("/runs/{number:int}", self._page(self._run)),
            Route("/runs/{number:int}/{observable}.svg", self._page(self._run_picture)),
            Route("/trends", self._page(self._trends)),
            Route("/trends/{observable}.svg", self._page(self._trend_picture)),
        ]

    def close(self) -> None:
        """Cancel all queries."""
        self._closing.set()

    async def error(self, request: Request, error: Exception) -> Response:
        """The page for an error, ours or one of HTTP."""
        if isinstance(error, HTTPException):
            status, text = error.status_code, f"There is no such page: {error.detail}."
        elif isinstance(error, AttpcError):
            status = next((code for kind, code in _TROUBLE.items() if isinstance(error, kind)), 500)
            text = str(error)
        else:
            _log.error("internal error on %s", request.url.path, exc_info=error)
            status, text = 500, "This page failed with an internal error; see the log of its server."
        return self._render("error.html", request, status=status, code=status, text=text)

    def _page(self, make: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def page(request: Request) -> Response:
            return await anyio.to_thread.run_sync(make, request, limiter=self._limiter, abandon_on_cancel=True)

        return page

    def _render(self, template: str, request: Request, *, status: int = 200, **values: Any) -> Response:
        text = self._templates.get_template(template).render(
            path=request.url.path,
            login=request.scope.get(LOGIN, ""),
            prefix=self._live.layout.prefix,
            version=__version__,
            datasette=self._datasette,
            **values,
        )
        return HTMLResponse(text, status, {"Cache-Control": "no-store"})

    def _book(self, request: Request) -> PageBook:
        experiment = request.query_params.get("experiment") or None
        return PageBook(self._database, experiment, self._topology().experiment, self._closing.is_set)

    def _now(self, request: Request) -> Response:
        live = self._live
        health, sentence = live.health
        return self._render(
            "now.html", request, layout=live.layout, shown=dict(live.shown), health=health, sentence=sentence,
            generation=live.generation,
        )  # fmt: skip

    def _runs(self, request: Request) -> Response:
        search = request.query_params.get("search", "").strip()[:_LONGEST_SEARCH]
        with self._book(request) as book:
            page = book.run_list(
                search, before=_whole(request, "before"), after=_whole(request, "after"), limit=RUNS_A_PAGE
            )
            return self._render(
                "runs.html",
                request,
                page=page,
                search=search,
                experiment=book.experiment,
                experiments=book.experiments(),
                link=_link({"experiment": book.experiment, "search": search}),
            )

    def _run(self, request: Request) -> Response:
        with self._book(request) as book:
            facts = book.facts(_run_number(request))
            before = None if facts.before is None else book.facts(facts.before)
        return self._render(
            "run.html",
            request,
            facts=facts,
            experiment=book.experiment,
            query="?" + urlencode({"experiment": book.experiment}),
            changes=[] if before is None else changes(before, facts),
            plotted=[row["name"] for row in facts.measurements if row["value_type"] in _NUMERIC and row["samples"]],
            units={row["name"]: row["units"] for row in facts.measurements},
            widths=WIDTHS,
        )

    def _run_picture(self, request: Request) -> Response:
        number, observable = _run_number(request), request.path_params["observable"]
        with self._book(request) as book:
            pieces, gaps = book.pieces(number, observable)
            began, ended = book.span(number)
            bad = [
                (from_text(row["began_at"]), from_text(row["ended_at"]) if row["ended_at"] else ended)
                for row in book.bad_times(number, observable)
            ]
        curve = RunCurve(
            pieces=[Piece(at / 1e6, float(low), float(high)) for at, low, high in pieces],
            gaps=[(begin / 1e6, end / 1e6) for begin, end in gaps],
            bad=bad,
            began=began,
            ended=ended,
        )
        return _picture(run_picture(curve, f"{observable} in run {number}", _width(request)))

    def _trends(self, request: Request) -> Response:
        before = _whole(request, "before")
        with self._book(request) as book:
            observables = book.numeric()
            names = [row["name"] for row in observables]
            measured = [row["name"] for row in observables if row["measured"]]
            observable = request.query_params.get("observable") or next(iter([*measured, *names]), "")
            page = book.trend(observable, before=before, limit=TREND_RUNS)
            experiments = book.experiments()
        return self._render(
            "trends.html",
            request,
            page=page,
            observables=observables,
            observable=observable,
            known=observable in names,
            experiment=book.experiment,
            experiments=experiments,
            before=before,
            picture="?" + urlencode({"experiment": book.experiment} | ({} if before is None else {"before": before})),
            link=_link({"experiment": book.experiment, "observable": observable}),
            widths=WIDTHS,
        )

    def _trend_picture(self, request: Request) -> Response:
        observable = request.path_params["observable"]
        with self._book(request) as book:
            page = book.trend(observable, before=_whole(request, "before"), limit=TREND_RUNS)
        points = [
            Point(row["run_number"], *(_number(row[name]) for name in ("begin_value", "mean", "minimum", "maximum")))
            for row in page.runs
            if row["units"] == page.runs[-1]["units"]
        ]
        return _picture(trend_picture(points, f"{observable} over the runs", _width(request)))


def _link(query: Mapping[str, object]) -> Callable[..., str]:
    """A function that returns this query with more in it."""

    def link(**more: object) -> str:
        return "?" + urlencode({**query, **more})

    return link


def _picture(svg: str) -> Response:
    return Response(svg, media_type="image/svg+xml", headers={"Cache-Control": "no-store"})


def _whole(request: Request, name: str) -> int | None:
    """A number in the query; None if it is missing or none."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else None


def _run_number(request: Request) -> int:
    """The number in the path; one that is too large for the database stands for none that is there."""
    return min(request.path_params["number"], _LARGEST)


def _width(request: Request) -> int:
    return WIDTHS[0] if request.query_params.get("width") == str(WIDTHS[0]) else WIDTHS[-1]


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) else None
