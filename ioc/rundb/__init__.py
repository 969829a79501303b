"""The run database: one SQLite file, written by one thread, read by anybody."""

from ioc.rundb.documents import Measurement, SavedSetting
from ioc.rundb.samples import SampleSurvey
from ioc.rundb.store import SqliteRunStore
from ioc.rundb.writer import StoreHealth

__all__ = ["Measurement", "SampleSurvey", "SavedSetting", "SqliteRunStore", "StoreHealth"]
