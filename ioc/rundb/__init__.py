"""The run database: one SQLite file, written by one thread; any program may read it."""

# before any other import of sqlite_utils
import ioc.rundb.light_import  # noqa: F401 # pyright: ignore[reportUnusedImport]
from ioc.rundb.condition import StoreHealth
from ioc.rundb.documents import Measurement, SavedSetting
from ioc.rundb.probe import Probed, probe
from ioc.rundb.run_sheet import OF_EVERY_RUN, SheetColumn, SheetRows
from ioc.rundb.samples import BEGINNING, SamplePage, SampleSurvey, SurveyedObservable
from ioc.rundb.store import SqliteRunStore

__all__ = [
    "BEGINNING",
    "Measurement",
    "OF_EVERY_RUN",
    "Probed",
    "SamplePage",
    "SampleSurvey",
    "SavedSetting",
    "SheetColumn",
    "SheetRows",
    "SqliteRunStore",
    "StoreHealth",
    "SurveyedObservable",
    "probe",
]
