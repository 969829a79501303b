"""The words of the domain: enums and frozen records that all layers share.

Times are POSIX seconds (float, UTC) everywhere inside the program; only the database and the PVs turn them into text.
Sizes are bytes.
"""

from ioc.model.ecc import ConfigChoice, DataLink, EccReading, TransitionReply
from ioc.model.enums import (
    DocumentState,
    EccState,
    LinkType,
    NextStep,
    Operation,
    Role,
    RunClass,
    RunOperation,
    RunState,
    Severity,
    SystemOperation,
    SystemState,
    Transition,
    ValueType,
)
from ioc.model.files import ConfigBackup, FiledFile, FilingReport, RouterFacts
from ioc.model.log import Client, Event, PutRecord
from ioc.model.names import (
    CONFIG_NAME_LENGTH,
    EXPERIMENT_LENGTH,
    check_config_name,
    check_experiment,
    chosen_experiment,
)
from ioc.model.observables import ObservableView, Reading, Scalar, Statistics
from ioc.model.run import RunChanges, RunConfig, RunId, RunRecord

__all__ = [
    "EccState",
    "SystemState",
    "Transition",
    "NextStep",
    "Operation",
    "SystemOperation",
    "RunOperation",
    "Role",
    "LinkType",
    "Severity",
    "RunState",
    "RunClass",
    "DocumentState",
    "ValueType",
    "CONFIG_NAME_LENGTH",
    "EXPERIMENT_LENGTH",
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
    "RouterFacts",
    "FiledFile",
    "FilingReport",
    "ConfigBackup",
    "Client",
    "Event",
    "PutRecord",
    "Scalar",
    "Statistics",
    "Reading",
    "ObservableView",
]
