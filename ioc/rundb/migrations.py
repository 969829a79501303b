# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
"""The schema of the run database, as steps from one version to the next.

Each migration runs in one transaction together with the version number (``PRAGMA user_version``) it leads to. A
released migration is never changed; a new one is added instead, also one that does nothing if the SQL of the view
`run_sheet` has changed: each creates it again. The first ones are SQL, because sqlite-utils cannot create parts of the
schema: checks, partial indexes and a table without rowid.

The migrations of sqlite-utils are not used: they keep their own table of names instead of `user_version`, so existing
databases would first have to be entered there, and a database of a newer version would not be detected.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING

from ioc.errors import PeerError
from ioc.rundb.dict_rows import Readable
from ioc.rundb.run_sheet import rebuild_run_sheet
from ioc.rundb.times import MICROSECONDS_TO_TEXT

if TYPE_CHECKING:
    from sqlite_utils import Database

APPLICATION_ID = 0x41545043
"""``PRAGMA application_id`` of our files ("ATPC"): a database of another program is never touched."""

MIGRATIONS: list[Callable[[Database], None]] = []
"""Each leads to the version given by its position, counted from 1."""


def _migration(step: Callable[[Database], None]) -> Callable[[Database], None]:
    """Append a step to `MIGRATIONS`; the order in this file is the order of the versions."""
    MIGRATIONS.append(step)
    return step


def newest_version() -> int:
    """The version written by this program."""
    return len(MIGRATIONS)


def version_of(db: Readable) -> int:
    """The version of an open database; 0 for an empty file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def check_version(db: Readable, path: str) -> int:
    """Return the version of the database if this program can work with it (an older one needs `migrate` first).

    Raises:
        PeerError: the database is newer than this program, or belongs to another program.
    """
    version = version_of(db)
    application = int(db.execute("PRAGMA application_id").fetchone()[0])
    tables = db.execute("SELECT 1 FROM sqlite_master WHERE type = 'table'")
    if application != APPLICATION_ID and (version or application or tables.fetchone()):
        raise PeerError(f"{path} is the database of another program: name another file as `database` in the topology")
    if version > newest_version():
        raise PeerError(
            f"the run database {path} has version {version}, but this program knows only {newest_version()}: "
            "install the newer attpc-ioc again, or name another file as `database`"
        )
    return version


def check_present_version(db: Readable, path: str) -> None:
    """Like `check_version`, but also refuse an older version.

    Raises:
        PeerError: the database does not have the newest version.
    """
    version = check_version(db, path)
    if version < newest_version():
        raise PeerError(
            f"the run database {path} has version {version}, but must have {newest_version()}: "
            "start the IOC once, which upgrades it"
        )


def migrate(db: Database, path: str, target: int | None = None) -> None:
    """Bring the database to version `target` (default: the newest), each step in its own transaction.

    The caller holds the lock of the database: no other process migrates it.

    Raises:
        PeerError: as `check_version`.
        sqlite3.Error: a step failed; it was undone, the steps before it stay.
    """
    for version in range(check_version(db, path), newest_version() if target is None else target):
        # These are needed to replace a table to which other tables or users' views refer; a step that does so checks
        # the foreign keys itself.
        db.executescript("PRAGMA foreign_keys = OFF; PRAGMA legacy_alter_table = ON")
        try:
            with db.atomic():
                MIGRATIONS[version](db)
                rebuild_run_sheet(db)
                db.executescript(f"PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {version + 1}")
        finally:
            db.executescript("PRAGMA legacy_alter_table = OFF; PRAGMA foreign_keys = ON")


_VERSION_1 = f"""
    CREATE TABLE experiments (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL UNIQUE,
        created_at TEXT NOT NULL
    );
    CREATE INDEX experiments_created_at ON experiments (created_at);
    CREATE TABLE runs (
        id INTEGER PRIMARY KEY,
        experiment_id INTEGER NOT NULL REFERENCES experiments (id),
        run_number INTEGER NOT NULL CHECK (run_number >= 0),
        run_class TEXT NOT NULL,
        title TEXT NOT NULL DEFAULT '',
        state TEXT NOT NULL CHECK (
            state IN ('starting', 'running', 'stopping', 'filing', 'complete', 'failed', 'orphaned')
        ),
        reserved_at TEXT NOT NULL,
        started_at TEXT,
        stopped_at TEXT,
        duration REAL,
        config_name TEXT NOT NULL DEFAULT '',
        message TEXT NOT NULL DEFAULT '',
        UNIQUE (experiment_id, run_number)
    );
    CREATE INDEX runs_reserved_at ON runs (reserved_at);
    CREATE INDEX runs_started_at ON runs (started_at);
    CREATE INDEX runs_stopped_at ON runs (stopped_at);
    CREATE TABLE run_configs (
        run_id INTEGER NOT NULL REFERENCES runs (id),
        ecc_server TEXT NOT NULL,
        describe TEXT NOT NULL,
        prepare TEXT NOT NULL,
        configure TEXT NOT NULL,
        config_digest TEXT NOT NULL DEFAULT '',
        file_digests TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (run_id, ecc_server)
    );
    CREATE TABLE observables (
        id INTEGER PRIMARY KEY,
        experiment_id INTEGER NOT NULL REFERENCES experiments (id),
        name TEXT NOT NULL,
        label TEXT NOT NULL DEFAULT '',
        units TEXT NOT NULL DEFAULT '',
        value_type TEXT NOT NULL,
        comment TEXT NOT NULL DEFAULT '',
        display_order INTEGER NOT NULL,
        source_pv TEXT,
        retired_at TEXT,
        UNIQUE (experiment_id, name)
    );
    CREATE INDEX observables_retired_at ON observables (retired_at);
    CREATE TABLE measurements (
        run_id INTEGER NOT NULL REFERENCES runs (id),
        observable_id INTEGER NOT NULL REFERENCES observables (id),
        begin_value,
        end_value,
        minimum REAL,
        maximum REAL,
        mean REAL,
        samples INTEGER NOT NULL DEFAULT 0,
        worst_severity INTEGER NOT NULL DEFAULT 0,
        disconnected_seconds REAL NOT NULL DEFAULT 0,
        PRIMARY KEY (run_id, observable_id)
    );
    CREATE INDEX measurements_observable_id ON measurements (observable_id);
    CREATE TABLE alarms (
        id INTEGER PRIMARY KEY,
        severity INTEGER NOT NULL,
        status TEXT NOT NULL,
        UNIQUE (severity, status)
    );
    INSERT INTO alarms (id, severity, status) VALUES (0, 0, 'NO_ALARM');
    CREATE TABLE sample_series (
        id INTEGER PRIMARY KEY,
        observable_id INTEGER NOT NULL REFERENCES observables (id),
        run_id INTEGER REFERENCES runs (id)
    );
    CREATE UNIQUE INDEX sample_series_observable_id ON sample_series (observable_id, ifnull(run_id, -1));
    CREATE INDEX sample_series_run_id ON sample_series (run_id);
    -- One row takes about 30 bytes: a text time and its index alone would take 60. The view `samples` gives the text.
    CREATE TABLE sample_rows (
        series_id INTEGER NOT NULL REFERENCES sample_series (id),
        sampled_us INTEGER NOT NULL,
        seq INTEGER NOT NULL,
        value,
        alarm_id INTEGER NOT NULL REFERENCES alarms (id),
        PRIMARY KEY (series_id, sampled_us, seq)
    ) WITHOUT ROWID;
    CREATE INDEX sample_rows_alarm_id ON sample_rows (alarm_id) WHERE alarm_id <> 0;
    CREATE VIEW samples AS
        SELECT sample_series.observable_id, sample_series.run_id,
            {MICROSECONDS_TO_TEXT.format(us="sample_rows.sampled_us")} AS sampled_at,
            sample_rows.value, alarms.severity, alarms.status, sample_rows.sampled_us
        FROM sample_series
        JOIN sample_rows ON sample_rows.series_id = sample_series.id
        JOIN alarms ON alarms.id = sample_rows.alarm_id;
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id),
        router TEXT NOT NULL,
        host TEXT NOT NULL,
        path TEXT NOT NULL,
        bytes INTEGER NOT NULL,
        moved_at TEXT NOT NULL,
        UNIQUE (run_id, host, path)
    );
    CREATE INDEX files_moved_at ON files (moved_at);
    CREATE TABLE events (
        id INTEGER PRIMARY KEY,
        occurred_at TEXT NOT NULL,
        severity INTEGER NOT NULL,
        source TEXT NOT NULL,
        message TEXT NOT NULL,
        run_id INTEGER REFERENCES runs (id),
        user TEXT NOT NULL DEFAULT '',
        host TEXT NOT NULL DEFAULT ''
    );
    CREATE INDEX events_occurred_at ON events (occurred_at);
    CREATE INDEX events_run_id ON events (run_id);
    CREATE TABLE puts (
        id INTEGER PRIMARY KEY,
        occurred_at TEXT NOT NULL,
        pv TEXT NOT NULL,
        old_value TEXT NOT NULL,
        new_value TEXT NOT NULL,
        user TEXT NOT NULL,
        host TEXT NOT NULL,
        result TEXT NOT NULL,
        message TEXT NOT NULL,
        run_id INTEGER REFERENCES runs (id)
    );
    CREATE INDEX puts_occurred_at ON puts (occurred_at);
    CREATE INDEX puts_run_id ON puts (run_id);
    CREATE TABLE settings (
        name TEXT PRIMARY KEY,
        value TEXT NOT NULL,
        saved_at TEXT NOT NULL
    );
    CREATE INDEX settings_saved_at ON settings (saved_at);
"""  # noqa: S608 - a constant


@_migration
def first_schema(db: Database) -> None:
    """Version 1: all tables, from an empty file."""
    db.executescript(_VERSION_1)


_VERSION_2 = """
    DROP VIEW run_sheet;
    CREATE TABLE observables_2 (
        id INTEGER PRIMARY KEY,
        experiment_id INTEGER NOT NULL REFERENCES experiments (id),
        name TEXT NOT NULL,
        label TEXT NOT NULL DEFAULT '',
        units TEXT NOT NULL DEFAULT '',
        value_type TEXT NOT NULL,
        comment TEXT NOT NULL DEFAULT '',
        display_order INTEGER NOT NULL,
        source_pv TEXT,
        retired_at TEXT
    );
    INSERT INTO observables_2 SELECT * FROM observables;
    DROP TABLE observables;
    ALTER TABLE observables_2 RENAME TO observables;
    CREATE INDEX observables_experiment_id ON observables (experiment_id, name);
    CREATE UNIQUE INDEX observables_name ON observables (experiment_id, name) WHERE retired_at IS NULL;
    CREATE INDEX observables_retired_at ON observables (retired_at);
    ALTER TABLE measurements ADD COLUMN mean_seconds REAL;
    ALTER TABLE measurements ADD COLUMN measured_us INTEGER;
    ALTER TABLE measurements ADD COLUMN last_sampled_us INTEGER;
    ALTER TABLE measurements ADD COLUMN last_seq INTEGER;
"""


@_migration
def observables_keep_what_they_were(db: Database) -> None:
    """Version 2: an observable with another type, unit or source gets a new row; statistics can be continued."""
    db.executescript(_VERSION_2)
    for table in ("measurements", "sample_series"):
        if broken := db.execute(f"PRAGMA foreign_key_check ({table})").fetchone():
            raise sqlite3.IntegrityError(f"row {broken[1]} of {table} belongs to no row of {broken[2]}")


_VERSION_3 = """
    ALTER TABLE runs ADD COLUMN bytes INTEGER NOT NULL DEFAULT 0;
    UPDATE runs SET bytes = ifnull((SELECT sum(files.bytes) FROM files WHERE files.run_id = runs.id), 0);
    ALTER TABLE files ADD COLUMN source TEXT NOT NULL DEFAULT '';
    ALTER TABLE puts ADD COLUMN count INTEGER NOT NULL DEFAULT 1;
"""


@_migration
def runs_have_a_size(db: Database) -> None:
    """Version 3: the size of a run, the source of a file, the number of puts per row; a faster run sheet."""
    db.executescript(_VERSION_3)


_VERSION_4 = """
    ALTER TABLE runs ADD COLUMN comment TEXT NOT NULL DEFAULT '';
    ALTER TABLE runs ADD COLUMN quality TEXT NOT NULL DEFAULT 'Unknown'
        CHECK (quality IN ('Unknown', 'Good', 'Check', 'Bad'));
    ALTER TABLE runs ADD COLUMN adopted_at TEXT;
    CREATE INDEX runs_adopted_at ON runs (adopted_at);
"""


@_migration
def runs_have_a_verdict(db: Database) -> None:
    """Version 4: comment and quality of a run; runs whose files were found, not taken by an IOC."""
    db.executescript(_VERSION_4)


# Each cell of the run sheet is looked up by the primary key: without rowid, that is one search instead of two.
_VERSION_5 = """
    DROP VIEW run_sheet;
    CREATE TABLE measurements_5 (
        run_id INTEGER NOT NULL REFERENCES runs (id),
        observable_id INTEGER NOT NULL REFERENCES observables (id),
        begin_value,
        end_value,
        minimum REAL,
        maximum REAL,
        mean REAL,
        samples INTEGER NOT NULL DEFAULT 0,
        worst_severity INTEGER NOT NULL DEFAULT 0,
        disconnected_seconds REAL NOT NULL DEFAULT 0,
        mean_seconds REAL,
        measured_us INTEGER,
        last_sampled_us INTEGER,
        last_seq INTEGER,
        PRIMARY KEY (run_id, observable_id)
    ) WITHOUT ROWID;
    INSERT INTO measurements_5 SELECT * FROM measurements ORDER BY run_id, observable_id;
    DROP TABLE measurements;
    ALTER TABLE measurements_5 RENAME TO measurements;
    CREATE INDEX measurements_observable_id ON measurements (observable_id);
"""


@_migration
def the_run_sheet_is_faster(db: Database) -> None:
    """Version 5: measurements of a run are beside each other, and found with one search."""
    db.executescript(_VERSION_5)


_VERSION_6 = """
    CREATE TABLE run_intervals (
        id INTEGER PRIMARY KEY,
        run_id INTEGER NOT NULL REFERENCES runs (id),
        interlock TEXT NOT NULL,
        observable_id INTEGER REFERENCES observables (id),
        began_at TEXT NOT NULL,
        ended_at TEXT,
        action TEXT NOT NULL,
        reason TEXT NOT NULL DEFAULT '',
        low REAL,
        high REAL,
        value,
        UNIQUE (run_id, interlock, began_at)
    );
    CREATE INDEX run_intervals_observable_id ON run_intervals (observable_id);
    CREATE INDEX run_intervals_began_at ON run_intervals (began_at);
    CREATE INDEX run_intervals_ended_at ON run_intervals (ended_at);
    ALTER TABLE runs ADD COLUMN good_fraction REAL;
    ALTER TABLE measurements ADD COLUMN good_fraction REAL;
"""


@_migration
def runs_have_bad_times(db: Database) -> None:
    """Version 6: the times in which interlocks were tripped, and the fractions of good time."""
    db.executescript(_VERSION_6)


_VERSION_7 = """
    ALTER TABLE files ADD COLUMN checksum TEXT NOT NULL DEFAULT '';
    ALTER TABLE files ADD COLUMN checksummed_at TEXT;
    ALTER TABLE files ADD COLUMN purged_at TEXT;
    CREATE INDEX files_checksummed_at ON files (checksummed_at);
    CREATE INDEX files_without_checksum ON files (run_id) WHERE checksum = '';
    CREATE INDEX files_purged_at ON files (purged_at);
    CREATE TABLE file_copies (
        file_id INTEGER NOT NULL REFERENCES files (id),
        destination TEXT NOT NULL,
        path TEXT NOT NULL,
        state TEXT NOT NULL CHECK (state IN ('copying', 'copied', 'verified', 'failed')),
        copied_at TEXT,
        verified_at TEXT,
        message TEXT NOT NULL DEFAULT '',
        PRIMARY KEY (file_id, destination)
    ) WITHOUT ROWID;
    CREATE INDEX file_copies_copied_at ON file_copies (copied_at);
    CREATE INDEX file_copies_verified_at ON file_copies (verified_at);
    ALTER TABLE runs ADD COLUMN card_due INTEGER NOT NULL DEFAULT 0 CHECK (card_due IN (0, 1, 2));
    ALTER TABLE runs ADD COLUMN changed_at TEXT;
    CREATE INDEX runs_card_due ON runs (card_due) WHERE card_due;
    CREATE INDEX runs_changed_at ON runs (changed_at);
"""

_ON_CARD = {
    "runs": (
        *("run_class", "title", "state", "reserved_at", "started_at", "stopped_at", "duration", "config_name"),
        *("message", "bytes", "comment", "quality", "adopted_at", "good_fraction"),
    ),
    "run_configs": ("describe", "prepare", "configure", "config_digest", "file_digests"),
    "measurements": (
        *("begin_value", "end_value", "minimum", "maximum", "mean", "samples", "worst_severity"),
        *("disconnected_seconds", "good_fraction"),
    ),
    "run_intervals": ("began_at", "ended_at", "action", "reason", "low", "high", "value"),
    "files": ("router", "host", "path", "bytes", "moved_at", "source", "checksum", "checksummed_at", "purged_at"),
    "file_copies": ("path", "state", "copied_at", "verified_at"),
    "events": ("severity", "message"),
}
"""The columns of each table that are on the card of a run."""


def _card_triggers(table: str) -> str:
    """Return SQL that makes the card of a run due when what is on it changes once the run has ended.

    Triggers, because other processes change runs too. They cost a search for the run while it is open.
    """
    of_run = "NEW.id" if table == "runs" else "NEW.run_id"
    matters = "TRUE"
    if table == "file_copies":
        of_run, matters = "(SELECT run_id FROM files WHERE id = NEW.file_id)", "NEW.state = 'verified'"
    elif table == "events":
        matters = "NEW.severity > 0"
    ended = f"(SELECT state FROM runs WHERE id = {of_run}) IN ('complete', 'failed', 'orphaned')"  # noqa: S608
    now = "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now')"
    due = f"""BEGIN
        UPDATE runs SET card_due = 1, changed_at = max(ifnull(changed_at, ''), {now})
        WHERE id = {of_run} AND (card_due <> 1 OR ifnull(changed_at, '') < {now});
    END;"""  # noqa: S608 - constants, all of them
    before, after = (", ".join(f"{row}.{column}" for column in _ON_CARD[table]) for row in ("OLD", "NEW"))
    # A copy that is no longer verified leaves the card.
    either = "'verified' IN (OLD.state, NEW.state)" if table == "file_copies" else matters
    return f"""
    CREATE TRIGGER card_of_{table}_inserted AFTER INSERT ON {table} WHEN {matters} AND {ended} {due}
    CREATE TRIGGER card_of_{table}_changed AFTER UPDATE OF {", ".join(_ON_CARD[table])} ON {table}
    WHEN {either} AND ({before}) IS NOT ({after}) AND {ended} {due}
"""


@_migration
def files_are_looked_after(db: Database) -> None:
    """Version 7: checksums, safe copies, and run cards that have to be written."""
    db.executescript(_VERSION_7 + "".join(map(_card_triggers, _ON_CARD)))


_VERSION_8 = "CREATE INDEX runs_open ON runs (id) WHERE state NOT IN ('complete', 'failed', 'orphaned')"


@_migration
def open_runs_are_found(db: Database) -> None:
    """Version 8: a start of the IOC finds the open runs without looking at all others."""
    db.execute(_VERSION_8)


_VERSION_9 = "CREATE INDEX runs_run_number ON runs (run_number)"


@_migration
def the_run_sheet_is_sorted_by_number(db: Database) -> None:
    """Version 9: the highest numbers on the run sheet are found without computing all rows; cells are faster."""
    db.execute(_VERSION_9)
