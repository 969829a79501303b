"""The fields of a run card, from which its JSON Schema is made.

Fields have the names of the columns in the run database. A field that is added later makes a new version.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StrictFloat, StrictInt, StrictStr

from ioc.rundb.cards import MOST_EVENTS, MOST_INTERVALS, SCHEMA, VERSION

Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")]
"""ISO 8601, UTC, microseconds."""
Value = StrictStr | StrictInt | StrictFloat | None
Count = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0, le=1)]
SeverityNumber = Annotated[int, Field(ge=0, le=3)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, strict=True)


class Configuration(_Part):
    """The configuration of one ECC server."""

    ecc_server: str
    """Name of the ECC server in the topology."""
    describe: str
    """Name of the file `describe-NAME.xcfg`."""
    prepare: str
    """Name of the file `prepare-NAME.xcfg`."""
    configure: str
    """Name of the file `configure-NAME.xcfg`."""
    config_digest: str
    """SHA-256 of the configuration text that the electronics were given; empty if not known."""
    file_digests: str
    """`file=SHA-256` of each .xcfg file as it was at Configure; empty if not known."""


class Link(_Part):
    """A data source, and the router that stored its data."""

    source: str
    """Id of the data source, such as `CoBo[0]`; empty if not known."""
    router: str
    """Name of the router in the topology; empty if not known."""
    host: str
    """Machine of the router."""


class Observable(_Part):
    """An observable, and its statistics in the run."""

    name: str
    """Name in the topology."""
    label: str
    """For people."""
    units: str
    """For people."""
    value_type: str
    """`float`, `integer`, `string` or `enum`."""
    comment: str
    """From the topology."""
    display_order: int
    """Place on the run sheet, from 0."""
    source_pv: str | None
    """Source PV; null if the shift entered its value."""
    begin_value: Value
    """Value when the run began; null if it was disconnected or not a finite number."""
    end_value: Value
    """Value when the run ended, in the same way."""
    minimum: float | None
    """Smallest finite number; null if there was none."""
    maximum: float | None
    """Largest finite number; null if there was none."""
    mean: float | None
    """Time-weighted mean; null if there was none."""
    samples: Count
    """Number of values recorded in the run."""
    worst_severity: SeverityNumber
    """Highest alarm severity: 0 NO_ALARM, 1 MINOR, 2 MAJOR, 3 INVALID."""
    disconnected_seconds: float
    """How long there was no value."""
    good_fraction: Fraction | None
    """Fraction of the run in which no interlock of this observable was tripped; null if not known."""


class Interval(_Part):
    """A time in which an interlock was tripped."""

    interlock: str
    """Name in the topology."""
    observable: str | None
    """Name of its observable; null if the interlock monitors another PV."""
    began_at: Time
    """When it began."""
    ended_at: Time | None
    """When it ended; null while it lasts."""
    action: str
    """`alarm`, `block`, `hold` or `stop`."""
    reason: str
    """One sentence: the value, and how it must be."""
    low: float | None
    """Lower limit; null if there was none."""
    high: float | None
    """Upper limit; null if there was none."""
    value: Value
    """The value that tripped it; null while disconnected."""


class LogLine(_Part):
    """An event of the run with an alarm."""

    occurred_at: Time
    """When it occurred."""
    severity: Annotated[int, Field(ge=1, le=3)]
    """1 MINOR, 2 MAJOR, 3 INVALID."""
    source: str
    """`Run`, `ECC:CoBo0`, `Router:data3`…"""
    message: str
    """One sentence."""
    user: str
    """For commands, the user as reported by the client; else empty."""
    host: str
    """For commands, the address of the client; else empty."""


class Copy(_Part):
    """A safe copy of a file whose checksum was compared there."""

    destination: str
    """Name in the topology."""
    path: str
    """Path at the destination."""
    copied_at: Time | None
    """When it was copied; null if not known."""
    verified_at: Time | None
    """When its checksum was last compared; null if not known."""


class File(_Part):
    """A data file at its final place."""

    router: str
    """Name of the router in the topology; empty if not known."""
    host: str
    """Machine."""
    path: str
    """Absolute path on that machine; bytes that are not UTF-8 are `\\xNN`."""
    bytes: Count
    """Size."""
    source: str
    """Data source that sent it, such as `CoBo[0]`; empty if not known."""
    moved_at: Time
    """When it was moved there; in an adopted run, when it was last written."""
    checksum: str
    """Of its content, `sha256:…` or `xxh128:…`; empty until computed."""
    checksummed_at: Time | None
    """When the checksum was computed; null until then."""
    purged_at: Time | None
    """When the file was removed by `runs purge`; null while it exists."""
    copies: list[Copy]
    """Its verified copies, by destination."""


class RunCard(_Part):
    """Everything about one run that the run database knows, except samples and puts."""

    schema_name: Annotated[Literal["attpc-ioc run card"], Field(alias="schema")]
    """Identifies the file as a run card."""
    version: Literal[1]
    """Version of this schema."""
    software: str
    """Program that wrote the card, and its version."""
    experiment: str
    """Name of the experiment."""
    run_number: Count
    """Number within the experiment."""
    title: str
    """As typed by the shift."""
    run_class: Literal["Testing", "Production", "Beam", "Pulser", "Junk"]
    """Class of the run."""
    state: Literal["starting", "running", "stopping", "filing", "complete", "failed", "orphaned"]
    """State of the run: a written card has one of the last three."""
    quality: Literal["Unknown", "Good", "Check", "Bad"]
    """Quality of the run, as rated by the shift."""
    comment: str
    """Comment of the shift; can have several lines."""
    reserved_at: Time
    """When its number was reserved."""
    started_at: Time | None
    """When the last server was Running; null if that never happened."""
    stopped_at: Time | None
    """When the last server had stopped."""
    adopted_at: Time | None
    """When it was entered by `runs adopt`; null for a run of the IOC."""
    changed_at: Time | None
    """When anything on the card last changed; of two cards of a run, the later one counts."""
    duration: float | None
    """Seconds from `started_at` to `stopped_at`; null until then."""
    good_fraction: Fraction | None
    """Fraction of its duration in which no interlock was tripped; null if not known."""
    bytes: Count
    """Size of all its files."""
    message: str
    """Why it failed, or its problems."""
    config_name: str
    """The configurations in use, as in the PV `Run:Configs`."""
    configs: list[Configuration]
    """The configuration of each ECC server."""
    links: list[Link]
    """Which data source sent to which router, if there are files of it."""
    observables: list[Observable]
    """The recorded observables, in display order."""
    intervals: Annotated[list[Interval], Field(max_length=MOST_INTERVALS)]
    """Times in which interlocks were tripped: the first ones, if there are more."""
    events: Annotated[list[LogLine], Field(max_length=MOST_EVENTS)]
    """Problems, from the log: the first events with an alarm, if there are more."""
    files: list[File]
    """All data files on all hosts."""


assert (SCHEMA, VERSION) == ("attpc-ioc run card", 1)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of a card."""
    schema = RunCard.model_json_schema(by_alias=True)
    for part in (schema, *schema["$defs"].values()):
        for field in part["properties"].values():
            field.pop("title", None)  # only the name with capital letters
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}
