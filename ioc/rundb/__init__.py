"""The run database: one SQLite file, written by one thread; any program may read it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

# before any other import of sqlite_utils
import ioc.rundb.light_import  # noqa: F401 # pyright: ignore[reportUnusedImport]
from ioc.rundb.condition import StoreHealth
from ioc.rundb.documents import Measurement, SavedSetting
from ioc.rundb.run_sheet import OF_EVERY_RUN, SheetColumn, SheetRows
from ioc.rundb.samples import BEGINNING, SamplePage, SampleSurvey, SurveyedObservable

if TYPE_CHECKING:
    from ioc.rundb.store import SqliteRunStore

__all__ = [
    "BEGINNING",
    "Measurement",
    "OF_EVERY_RUN",
    "SamplePage",
    "SampleSurvey",
    "SavedSetting",
    "SheetColumn",
    "SheetRows",
    "SqliteRunStore",
    "StoreHealth",
    "SurveyedObservable",
]


def __getattr__(name: str) -> Any:
    """The store is imported when it is first used: commands that only read need neither asyncio nor the writer."""
    if name != "SqliteRunStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from ioc.rundb.store import SqliteRunStore  # noqa: PLC0415

    return SqliteRunStore
