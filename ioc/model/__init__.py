"""The words of the domain: enums and frozen records that all layers share.

Times are POSIX seconds (float, UTC) everywhere inside the program; only the database and the PVs turn them into text.
Sizes are bytes.
"""

from ioc.model.archive import ArchiveState, ArchiveStatus
from ioc.model.ecc import ConfigChoice, DataLink, EccReading, TransitionReply
from ioc.model.enums import (
    Action,
    AutoState,
    DocumentState,
    EccState,
    InterlockState,
    LinkType,
    NextStep,
    OnEnd,
    Operation,
    PartnerState,
    Role,
    RunClass,
    RunOperation,
    RunQuality,
    RunState,
    Severity,
    SystemOperation,
    SystemState,
    Transition,
    ValueType,
)
from ioc.model.files import (
    Checksum,
    ChecksumState,
    ChecksumStatus,
    ConfigBackup,
    FiledFile,
    FilingReport,
    Found,
    RouterFacts,
)
from ioc.model.hooks import HookOutcome, HookPoint
from ioc.model.log import Client, Event, LogbookState, LogbookStatus, PutRecord
from ioc.model.names import (
    COMMENT_LENGTH,
    CONFIG_NAME_LENGTH,
    EXPERIMENT_LENGTH,
    PVA_SCHEME,
    check_comment,
    check_config_name,
    check_experiment,
    chosen_experiment,
)
from ioc.model.observables import ObservableView, Reading, Scalar, Statistics
from ioc.model.partner import PartnerReading
from ioc.model.planned import PlannedRun, Wait
from ioc.model.run import LARGEST_RUN_NUMBER, RunChanges, RunConfig, RunId, RunInterval, RunRecord
from ioc.model.table import ColumnKind, TableColumn, TableContent
from ioc.model.window import Window

__all__ = [
    "LARGEST_RUN_NUMBER",
    "EccState",
    "SystemState",
    "Transition",
    "NextStep",
    "Operation",
    "PVA_SCHEME",
    "SystemOperation",
    "RunOperation",
    "Role",
    "LinkType",
    "Severity",
    "RunState",
    "RunClass",
    "RunQuality",
    "AutoState",
    "PlannedRun",
    "Wait",
    "DocumentState",
    "ValueType",
    "ColumnKind",
    "TableColumn",
    "TableContent",
    "COMMENT_LENGTH",
    "CONFIG_NAME_LENGTH",
    "EXPERIMENT_LENGTH",
    "check_comment",
    "check_config_name",
    "check_experiment",
    "chosen_experiment",
    "ConfigChoice",
    "DataLink",
    "EccReading",
    "TransitionReply",
    "RunId",
    "RunRecord",
    "RunChanges",
    "RunConfig",
    "RunInterval",
    "RouterFacts",
    "FiledFile",
    "FilingReport",
    "Checksum",
    "ChecksumState",
    "ChecksumStatus",
    "Found",
    "ConfigBackup",
    "Client",
    "Event",
    "LogbookState",
    "LogbookStatus",
    "PutRecord",
    "Scalar",
    "HookPoint",
    "HookOutcome",
    "Statistics",
    "Reading",
    "ObservableView",
    "Window",
    "Action",
    "InterlockState",
    "OnEnd",
    "PartnerReading",
    "PartnerState",
    "ArchiveState",
    "ArchiveStatus",
]
