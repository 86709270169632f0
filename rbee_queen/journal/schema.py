"""The journal's file: made, brought to the newest schema, or set aside when it is damaged.

`PRAGMA user_version` counts the migrations that a file has had.
"""

import sqlite3
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path

from google.protobuf.message import DecodeError

from rbee.v1 import job_pb2
from rbee_shared.errors import FailedPreconditionError
from rbee_shared.narration.event import Level
from rbee_shared.narration.narrate import narrate

MIGRATIONS = (
    """
    CREATE TABLE jobs (
        number INTEGER PRIMARY KEY,
        id TEXT NOT NULL UNIQUE,
        fingerprint BLOB NOT NULL,
        lease_s REAL,
        job BLOB NOT NULL
    ) STRICT;
    CREATE TABLE events (
        number INTEGER NOT NULL REFERENCES jobs ON DELETE CASCADE,
        sequence INTEGER NOT NULL,
        is_text INTEGER NOT NULL,
        event BLOB NOT NULL,
        PRIMARY KEY (number, sequence)
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX texts ON events (number) WHERE is_text;
    """,
)
DAMAGED_KEPT_MAX = 3
BUSY_TIMEOUT_S = 5.0


class JournalTooNewError(FailedPreconditionError):
    """A newer rbee wrote the journal."""

    reason = "JOURNAL_TOO_NEW"
    hint = "use that rbee, or move the file away to begin anew"


def opened(file: Path) -> sqlite3.Connection:
    """Open the journal; a damaged one is set aside under another name, and that is told.

    Raises:
        JournalTooNewError: a newer rbee wrote it.
        FailedPreconditionError: the file cannot be used.
    """
    try:
        return _open(file)
    except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
        if not is_damage(error):
            raise _unusable(file, error) from error
        kept = _set_aside(file)
        narrate(
            "journal_damaged",
            "the journal is damaged ({why}); it is set aside as {file} and a new one begun",
            target="journal",
            level=Level.WARN,
            why=str(error),
            file=str(kept),
        )
    try:
        return _open(file)
    except sqlite3.DatabaseError as error:
        raise _unusable(file, error) from error


def is_damage(error: Exception) -> bool:
    """Whether the file's content is at fault, and not the disk or its rights."""
    if isinstance(error, UnicodeDecodeError):
        return True  # SQLite quotes what it found, whatever that is
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _open(file: Path) -> sqlite3.Connection:
    with ExitStack() as stack:
        # made here and used in one other thread, the journal's own
        connection = sqlite3.connect(
            file, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        stack.callback(connection.close)
        file.chmod(0o600)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
        connection.execute("PRAGMA secure_delete = ON")  # a text that is forgotten is gone
        _check(connection)
        _migrate(connection, file)
        _check_jobs(connection)
        stack.pop_all()
    return connection


def _check(connection: sqlite3.Connection) -> None:
    (said,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if said != "ok":
        raise _damage(said.splitlines()[-1])  # the first may be a headline


def _check_jobs(connection: sqlite3.Connection) -> None:
    for job_id, data in _job_rows(connection):
        try:
            job = job_pb2.Job.FromString(data)
        except DecodeError as error:
            raise _damage(f"job {job_id} cannot be read") from error
        if job.id != job_id:
            raise _damage(f"job {job_id} is another")


def _job_rows(connection: sqlite3.Connection) -> list[tuple[str, bytes]]:
    try:
        connection.execute("SELECT * FROM events LIMIT 1").fetchone()
        return connection.execute("SELECT id, job FROM jobs").fetchall()
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) == sqlite3.SQLITE_ERROR:
            raise _damage(str(error)) from error  # the tables were here once, and readable
        raise


def _damage(why: str) -> sqlite3.DatabaseError:
    damage = sqlite3.DatabaseError(why)
    damage.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return damage


def _migrate(connection: sqlite3.Connection, file: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(MIGRATIONS):
        raise JournalTooNewError(f"a newer rbee wrote the journal `{file}`")
    for number in range(version, len(MIGRATIONS)):
        connection.executescript(
            f"BEGIN IMMEDIATE; {MIGRATIONS[number]} PRAGMA user_version = {number + 1}; COMMIT;"
        )


def _set_aside(file: Path) -> Path:
    now = datetime.now(tz=UTC).strftime("%Y%m%dT%H%M%S")
    kept = file.with_name(f"{file.name}.damaged-{now}")
    file.replace(kept)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink(missing_ok=True)
    damaged = sorted(file.parent.glob(f"{file.name}.damaged-*"))
    for old in damaged[:-DAMAGED_KEPT_MAX]:
        old.unlink(missing_ok=True)
    return kept


def _unusable(file: Path, error: Exception) -> FailedPreconditionError:
    return FailedPreconditionError(
        f"the journal `{file}` cannot be used: {error}",
        reason="JOURNAL_UNUSABLE",
        hint="check the disk and the rights of the file",
    )
