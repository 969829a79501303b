"""The words of the domain: enums and frozen records that all layers share.

Times are POSIX seconds (float, UTC) everywhere inside the program; only the database and the PVs turn them into text.
Sizes are bytes.
"""

# pyright: reportUnusedImport=false

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
