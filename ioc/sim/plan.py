"""What to simulate (`SitePlan`) and the resulting addresses (`SiteAddresses`), exchanged as JSON."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, ConfigDict, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

HOST = "127.0.0.1"
"""All simulated parts listen only on this address, unless their plan gives another."""
MAX_LINE = 1 << 20
"""Maximum bytes of a line of JSON between the simulator and its owner; that of asyncio is too short for 300 parts."""
_CONFIG = ConfigDict(extra="forbid")


class SimulatorError(Exception):
    """The simulator cannot carry out a command, or does not answer; the text gives the reason in one sentence."""


class _Json:
    """One line of JSON, as ``python -m ioc.sim`` reads and prints it."""

    def to_json(self) -> str:
        return TypeAdapter(type(self)).dump_json(self).decode()

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse the output of `to_json`.

        Raises:
            SimulatorError: the text has every error in it.
        """
        try:
            return TypeAdapter(cls).validate_json(text)
        except ValidationError as errors:
            reasons = [f"{'.'.join(map(str, each['loc']))}: {each['msg']}".strip(": ") for each in errors.errors()]
            raise SimulatorError(f"wrong {cls.__name__}: {'; '.join(reasons)}") from None


@dataclass(frozen=True, config=_CONFIG)
class ServerPlan:
    """One simulated ``getEccSoapServer`` and the electronics behind it."""

    name: str
    sources: tuple[str, ...]
    """Ids in its hardware description: ``CoBo[0]``, ``Mutant[master]``."""
    role: str = "cobo"
    """``cobo``, or ``mutant``, whose sources send a tenth of a CoBo's data."""
    supports_resume: bool = False
    """Whether it survives Resume; the release of 2021 crashes."""
    dialect: Literal["2.7", "2.8"] = "2.8"
    """gSOAP build whose recorded bytes it imitates."""
    asads: Annotated[int, Field(ge=1, le=4)] = 4
    """AsAd boards of each of its CoBos: the number of files per CoBo."""
    release: Literal[2017, 2021] = 2021
    """Release of the GET software: at Prepare, 2017 reads ``prepare-P`` and 2021 ``configure-P``."""
    host: str = HOST
    """Address of this machine on which it listens; its sources connect only to routers on this address."""
    readout: Literal["partial", "full"] = "partial"
    """Samples that its CoBos send: those around the pulses (2 kB per event), or all of every channel (1.1 MB)."""


@dataclass(frozen=True, config=_CONFIG)
class RouterPlan:
    """One simulated ``dataRouter`` process."""

    name: str
    type: str = "TCP"
    """Flow type, an argument of its process: TCP, ZBUF and FDT accept one source at a time, ICE any number."""
    host: str = HOST
    """Address on which it listens."""


@dataclass(frozen=True, config=_CONFIG)
class PartnerPlan:
    """One simulated ReadoutGUI of FRIBDAQ."""

    name: str
    user: str = "daq"
    """Who runs it, as the port manager of its host says."""
    release: Literal[2015, 2024] = 2024
    """Release of NSCLDAQ: 2015 (11.0-rc18) begins by ``begin``, 2024 (12.0) by ``masterTransition``."""


@dataclass(frozen=True, config=_CONFIG)
class ObservablePlan:
    """One process variable of the simulated slow controls."""

    pv: str
    type: Annotated[str, Field(pattern="^(float|integer|string|enum)$")] = "float"
    units: str = ""
    low: float | None = None
    """Lower alarm limit (LOLO) in `units`; None: taken from a table of usual ranges by the units."""
    high: float | None = None
    """Upper alarm limit (HIHI) in `units`."""


@dataclass(frozen=True, config=_CONFIG)
class ConfigNames:
    """Names of the configuration files: ``describe-NAME.xcfg`` and so on are written where they do not exist."""

    describe: tuple[str, ...] = ()
    prepare: tuple[str, ...] = ()
    configure: tuple[str, ...] = ()


def _distinct_names(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    names = [part.name for part in parts]
    for name in names:
        if names.count(name) > 1 or not name or "/" in name:
            raise ValueError(f"name {name!r} must be unique, not empty and without '/'")
    return parts


_Positive = Field(gt=0)


@dataclass(frozen=True, config=_CONFIG)
class SitePlan(_Json):
    """A whole simulated AT-TPC. A plan that cannot be simulated raises ValueError when it is made."""

    directory: str
    """Directory for all its files; created if missing. Files of an earlier simulation stay."""
    servers: Annotated[tuple[ServerPlan, ...], AfterValidator(_distinct_names)] = ()
    routers: Annotated[tuple[RouterPlan, ...], AfterValidator(_distinct_names)] = ()
    observables: tuple[ObservablePlan, ...] = ()
    partners: Annotated[tuple[PartnerPlan, ...], AfterValidator(_distinct_names)] = ()
    configs: ConfigNames = ConfigNames()
    speed: Annotated[float, _Positive] = 1.0
    """Divisor of the real duration of transitions."""
    data_rate: Annotated[float, _Positive] = 200_000.0
    """Total bytes per second of all sources while Running."""
    file_size: Annotated[int, _Positive] = 1024 * 1024 * 1024
    """Maximum bytes of a .graw file; then the router begins the next file of the run."""
    disk_budget: int = 2_000_000_000
    """Maximum total bytes written by all routers; further data are dropped."""


@dataclass(frozen=True)
class EccAddress:
    port: int
    log_path: str


@dataclass(frozen=True)
class RouterAddress:
    """Where a simulated data router is."""

    port: int
    """Data port; while a source is connected, the router does not listen on it."""
    work_dir: str
    log_path: str
    control_port: int


@dataclass(frozen=True)
class PartnerAddress:
    port: int
    manager_port: int
    """Port of the DAQ port manager of its host."""


@dataclass(frozen=True)
class SiteAddresses(_Json):
    """Where everything is; keyed by the names of the plan."""

    servers: dict[str, EccAddress]
    routers: dict[str, RouterAddress]
    config_root: str
    """Directory with the .xcfg files of every server."""
    ca_port: int
    """Channel Access port (UDP and TCP) of the slow controls; 0 if the plan has no observables."""
    control_port: int
    """Port for the commands in ``docs/simulator.md``."""
    partners: dict[str, PartnerAddress] = Field(default_factory=dict)
