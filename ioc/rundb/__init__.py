"""The run database: one SQLite file, written by one thread; any program may read it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ioc.rundb.condition import StoreHealth
    from ioc.rundb.documents import Measurement, SavedSetting
    from ioc.rundb.run_sheet import OF_EVERY_RUN, SheetColumn, SheetRows
    from ioc.rundb.samples import BEGINNING, SamplePage, SampleSurvey, SurveyedObservable
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
_MODULES = {
    "SqliteRunStore": "store",
    "StoreHealth": "condition",
    **dict.fromkeys(("Measurement", "SavedSetting"), "documents"),
    **dict.fromkeys(("OF_EVERY_RUN", "SheetColumn", "SheetRows"), "run_sheet"),
    **dict.fromkeys(("BEGINNING", "SamplePage", "SampleSurvey", "SurveyedObservable"), "samples"),
}


def __getattr__(name: str) -> Any:
    """Import what is used when it is first used: commands that only read need neither asyncio nor the writer."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"ioc.rundb.{_MODULES[name]}"), name)
