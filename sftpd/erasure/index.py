"""The index of one link: which received files may carry an identifier, as keyed tokens.

    file      place, number, reason    one a content that was looked at; with a reason where it is not indexed
    posting   token, number            that the content of that number may carry that identifier
    gone      number                   contents that are no more, whose postings are still to be removed

A place is a keyed hash of where a file is and of its mark there, so another content is at another place.
Nothing can be read or tried out without the key. It is derived: what is lost or does not fit is made anew.
"""

import os
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import islice
from pathlib import Path
from typing import Self

import msgspec
import structlog

from sftpd.erasure.identifiers import Identifier
from sftpd.erasure.layouts import Layout
from sftpd.erasure.plan import Parts
from sftpd.erasure.tokens import SIZE, token, wanted
from sftpd.errors import SftpdError

_VERSION = b"10"
"""Another one begins every index anew: it changes with the tables, and with the tokens that a file has."""
_SCHEMA = """
BEGIN;
CREATE TABLE about (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE file (place BLOB PRIMARY KEY, number INTEGER NOT NULL, reason TEXT) WITHOUT ROWID;
CREATE TABLE posting (token BLOB, number INTEGER, PRIMARY KEY (token, number)) WITHOUT ROWID;
CREATE TABLE gone (number INTEGER PRIMARY KEY);
"""
_SETTINGS = (
    "journal_mode = WAL",
    "synchronous = NORMAL",
    "secure_delete = ON",
    "temp_store = MEMORY",
    "wal_autocheckpoint = 10000",
    f"cache_size = {-(64 << 10)}",
)
_STEPS = 256
"""A sweep takes so many steps, each over the tokens that begin with one byte; others may write in between."""
_BATCH, _POSTINGS = 1000, 50_000
"""Places, and postings, that are written in one go."""
_REASONS = 20
_log = structlog.get_logger()


class IndexFaultError(SftpdError):
    """An index cannot be read or written."""

    code = "INDEX"


@dataclass(frozen=True, slots=True)
class Entry:
    """A content: its tokens, one after another, or why it is not indexed and is read at every search."""

    place: bytes
    tokens: bytes = field(repr=False, default=b"")
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Counts:
    """Files that are indexed, files that are not as they cannot be read in full, and the usual reasons."""

    indexed: int
    unsearchable: int
    reasons: dict[str, int]


class Index:
    """The index of one link, for any thread. Methods raise sqlite3.Error."""

    def __init__(self, path: Path, key: bytes) -> None:
        """Open it. What is there under another key, or cannot be read, is removed and begun anew.

        `key` has 16 to 64 bytes. Raises OSError besides.
        """
        self.key = key
        self._path = path
        self._lock = threading.RLock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            self._conn = self._opened()
        except sqlite3.DatabaseError as fault:
            if not is_damage(fault):
                raise
            remove(path)
            self._conn = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let it go; harmless when repeated."""
        with self._lock:
            self._conn.close()

    def place(self, folder: str, path: Parts, mark: str, layouts: Sequence[Layout] = ()) -> bytes:
        """What the content of that mark at a path of a folder, read as `layouts` tell, is known by."""
        told = msgspec.json.encode(layouts) if layouts else b""
        return self._hashed(b"\0".join((b"place", folder.encode(), mark.encode(), b"/".join(path), told)))

    def knows(self, place: bytes) -> bool:
        """Whether a content was looked at."""
        with self._lock:
            query = "SELECT 1 FROM file WHERE place = ?"
            return self._conn.execute(query, (place,)).fetchone() is not None

    def put(self, entries: Iterable[Entry]) -> None:
        """Enter contents, all of them or none."""
        with self._lock, self._conn:
            numbered = [(self._enter(entry), entry.tokens) for entry in entries]
            rows = (
                (packed[start : start + SIZE], number)
                for number, packed in numbered
                for start in range(0, len(packed), SIZE)
            )
            while batch := list(islice(rows, _POSTINGS)):
                self._conn.executemany("INSERT OR IGNORE INTO posting VALUES (?, ?)", sorted(batch))

    def lookup(self, identifiers: Sequence[Identifier], layouts: Sequence[Layout] = ()) -> "Lookup | None":
        """What is known of contents that may carry any of the identifiers; None where one has no token.

        Only contents count that were read as `layouts` tell.
        """
        told: list[bytes] = []
        for identifier in identifiers:
            if (hers := wanted(identifier, self.key)) is None:
                return None
            told += hers
        query = "SELECT number FROM posting WHERE token = ?"
        with self._lock:
            found = {number for each in told for (number,) in self._conn.execute(query, (each,))}
            return Lookup(self, frozenset(found), self.newest(), tuple(layouts))

    def number(self, place: bytes) -> int | None:
        """The number of a content that is indexed."""
        with self._lock:
            query = "SELECT number FROM file WHERE place = ? AND reason IS NULL"
            row = self._conn.execute(query, (place,)).fetchone()
        return None if row is None else int(row[0])

    def newest(self) -> int:
        """The number that was given last."""
        with self._lock:
            return int(self._conn.execute("SELECT value FROM about WHERE name = 'newest'").fetchone()[0])

    def forget(self, identifiers: Iterable[Identifier], newest: int) -> None:
        """Remove the postings of identifiers that were there when `newest` was, durably."""
        rows = [(each, newest) for known in identifiers if (each := token(known, self.key)) is not None]
        with self._lock, self._conn:
            self._conn.executemany("DELETE FROM posting WHERE token = ? AND number <= ?", rows)
        self._settle()

    def keep(self, places: Iterable[bytes]) -> None:
        """Forget all contents but those at `places`, which another thread may not add to meanwhile."""
        rest = ((place,) for place in places)
        with self._lock, self._conn:
            self._conn.execute("CREATE TEMP TABLE IF NOT EXISTS kept (place BLOB PRIMARY KEY) WITHOUT ROWID")
            self._conn.execute("DELETE FROM kept")
        while batch := list(islice(rest, _BATCH)):
            with self._lock, self._conn:
                self._conn.executemany("INSERT OR IGNORE INTO kept VALUES (?)", batch)
        others = "FROM file WHERE place NOT IN (SELECT place FROM kept)"
        with self._lock, self._conn:
            self._conn.execute(f"INSERT OR IGNORE INTO gone SELECT number {others}")
            self._conn.execute(f"DELETE {others}")
            self._conn.execute("DELETE FROM kept")

    def sweep(self) -> None:
        """Remove the postings of contents that are no more, durably."""
        with self._lock:
            newest = self._conn.execute("SELECT max(number) FROM gone").fetchone()[0]
        if newest is None:
            return
        gone = "SELECT number FROM gone WHERE number <= ?"
        query = f"DELETE FROM posting WHERE token >= ? AND token < ? AND number IN ({gone})"  # noqa: S608
        for step in range(_STEPS):
            end = bytes([step + 1]) if step + 1 < _STEPS else b"\xff" * (SIZE + 1)
            with self._lock, self._conn:
                self._conn.execute(query, (bytes([step]), end, newest))
        with self._lock, self._conn:
            self._conn.execute("DELETE FROM gone WHERE number <= ?", (newest,))
        self._settle()

    def counts(self) -> Counts:
        """How far it is."""
        with self._lock:
            query = "SELECT reason, count(*) AS files FROM file GROUP BY reason ORDER BY files DESC, reason"
            rows = dict(self._conn.execute(query).fetchall())
        indexed = rows.pop(None, 0)
        return Counts(indexed, sum(rows.values()), dict(islice(rows.items(), _REASONS)))

    def _enter(self, entry: Entry) -> int:
        """Enter a content and return its number; within a transaction."""
        run = self._conn.execute
        run("INSERT OR IGNORE INTO gone SELECT number FROM file WHERE place = ?", (entry.place,))
        run("UPDATE about SET value = value + 1 WHERE name = 'newest'")
        number = self.newest()
        run("REPLACE INTO file VALUES (?, ?, ?)", (entry.place, number, entry.reason))
        return number

    def _settle(self) -> None:
        """Leave nothing of what was removed in the log beside the file."""
        with self._lock:
            self._conn.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _hashed(self, value: bytes) -> bytes:
        return blake2b(value, digest_size=SIZE, key=self.key).digest()

    def _opened(self) -> sqlite3.Connection:
        os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        conn = sqlite3.connect(self._path, check_same_thread=False, timeout=60)
        try:
            for setting in _SETTINGS:
                conn.execute(f"PRAGMA {setting}").fetchall()
            self._require_ours(conn)
        except BaseException:
            conn.close()
            raise
        return conn

    def _require_ours(self, conn: sqlite3.Connection) -> None:
        """Make the tables where there are none. Raises DatabaseError for those of another key or version."""
        ours = self._hashed(b"index\0" + _VERSION)
        if not conn.execute("SELECT 1 FROM sqlite_master").fetchall():
            conn.executescript(_SCHEMA)
            conn.execute("INSERT INTO about VALUES ('key', ?), ('newest', 0)", (ours,))
            conn.commit()
        elif conn.execute("SELECT value FROM about WHERE name = 'key'").fetchone() != (ours,):
            raise sqlite3.DatabaseError("index of another key")


def is_damage(fault: sqlite3.Error) -> bool:
    """Whether an index is no database, or a damaged one; other faults, of the disk say, have subclasses."""
    return type(fault) is sqlite3.DatabaseError


@contextmanager
def reached(link: str) -> Iterator[None]:
    """Raise what keeps the index of a link from being read or written as IndexFaultError."""
    try:
        yield
    except (OSError, sqlite3.Error) as fault:
        raise IndexFaultError(
            f"the index cannot be read or written: {fault}",
            where=f"link {link}",
            remedy="remove its file in state/index/ while no sftpd runs; it is made anew",
        ) from fault


def remove(path: Path) -> None:
    """Remove an index that nobody has open, if it is there. Raises OSError."""
    for suffix in ("-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            path.with_name(path.name + suffix).unlink()


@dataclass(frozen=True, slots=True)
class Lookup:
    """The contents that may carry one of some identifiers, as the index knew them when it was asked."""

    index: Index
    numbers: frozenset[int]
    newest: int
    layouts: tuple[Layout, ...] = ()

    def clears(self, folder: str, path: Parts, mark: str) -> bool:
        """Whether the content of that mark is known to carry none of them."""
        try:
            number = self.index.number(self.index.place(folder, path, mark, self.layouts))
        except sqlite3.Error as fault:
            _log.warning("index_unreadable", fault=str(fault))
            return False
        return number is not None and number <= self.newest and number not in self.numbers
