"""The outbox' SQLite file: the only place that speaks SQL."""

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from smartbox.clock import REAL_TIME
from smartbox.durable import make_directory
from smartbox.errors import StorageError
from smartbox.outbox.rows import EVENT_RANKS, SEND_RANKS, Episodes, Limits, Loss, Record, Row, account

FILE_NAME = "outbox.db"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS message (
  n INTEGER PRIMARY KEY, seq INTEGER, topic TEXT NOT NULL, send INTEGER NOT NULL, keep INTEGER NOT NULL,
  stamp REAL NOT NULL, body BLOB NOT NULL, after INTEGER, size INTEGER NOT NULL, crc INTEGER NOT NULL,
  tries INTEGER NOT NULL DEFAULT 0, sent REAL) STRICT;
CREATE INDEX IF NOT EXISTS waiting ON message (send, n) WHERE sent IS NULL;
CREATE INDEX IF NOT EXISTS trimming ON message (keep DESC, n, size) WHERE sent IS NULL;
CREATE INDEX IF NOT EXISTS history ON message (sent, size) WHERE sent IS NOT NULL;
CREATE TABLE IF NOT EXISTS episode (
  episode TEXT PRIMARY KEY, begin INTEGER NOT NULL, body BLOB NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dead (
  n INTEGER PRIMARY KEY, seq INTEGER, topic TEXT NOT NULL, stamp REAL NOT NULL, body BLOB NOT NULL,
  tries INTEGER NOT NULL, failed REAL NOT NULL, reason TEXT NOT NULL) STRICT;
CREATE TABLE IF NOT EXISTS lost (
  reason TEXT NOT NULL, what TEXT NOT NULL, first INTEGER NOT NULL, last INTEGER NOT NULL,
  count INTEGER NOT NULL) STRICT;
PRAGMA user_version = 1;
"""
_COLUMNS = "n, seq, topic, send, keep, stamp, body, after"
_CHECKED = 64_000_000  # bytes; checking more at start would take seconds, damage shows at use
_DEAD_ROWS = 1000
_PRUNE = 2000  # rows at once, so that no put waits long


class CorruptError(StorageError):
    """It is not a database any more."""


class FullError(StorageError):
    """No space left."""


@contextmanager
def mapped(path: Path) -> Iterator[None]:
    """SQLite's and the system's errors -> StorageError."""
    try:
        yield
    except sqlite3.Error as error:
        code = getattr(error, "sqlite_errorcode", 0)
        if code & 0xFF in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
            raise CorruptError(f"{path}: {error}") from error
        # The shared-memory file is extended by writing: without space that is an IOERR.
        if code in {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_SHMSIZE, sqlite3.SQLITE_IOERR_WRITE}:
            raise FullError(f"{path}: {error}") from error
        raise StorageError(f"{path}: {error}") from error
    except OSError as error:
        raise StorageError(f"{path}: {error.strerror}") from error


@dataclass(slots=True)
class Totals:
    """Rows and bytes that wait, and that are history."""

    waiting: int = 0
    waiting_bytes: int = 0
    events: int = 0
    history: int = 0
    history_bytes: int = 0


class OutboxFile:
    """Rows on the disk. One caller at a time. Every method raises StorageError, and then nothing has changed."""

    def __init__(self, path: Path, limits: Limits) -> None:
        self.path = path
        self.totals = Totals()
        self._limits = limits
        self._connection: sqlite3.Connection | None = None

    @property
    def _db(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError(f"{self.path}: not open")
        return self._connection

    @property
    def is_open(self) -> bool:
        return self._connection is not None

    def attach(self) -> None:
        """Open or create; CorruptError when it is damaged (a file over 64 MB is checked at use): `salvage` it, then."""
        try:
            self._attach()
        except CorruptError:
            raise
        except StorageError:
            self.close()  # opened on a read-only disk it would stay read-only
            raise

    def _attach(self) -> None:
        with mapped(self.path):
            make_directory(self.path.parent)
            self._connection = db = sqlite3.connect(self.path, isolation_level=None, check_same_thread=False)
            db.text_factory = lambda text: text.decode(errors="replace")  # the row's check sum tells
            db.execute("PRAGMA auto_vacuum = INCREMENTAL")
            db.execute("PRAGMA journal_mode = WAL")
            found = "ok"
            if self.path.stat().st_size <= _CHECKED:
                found = db.execute("PRAGMA quick_check(1)").fetchone()[0]
            if found != "ok":
                raise CorruptError(f"{self.path}: {found}")
            db.executescript(_SCHEMA)
            self.totals = self._count(db)

    @staticmethod
    def _count(db: sqlite3.Connection) -> Totals:
        query = "SELECT count(*), coalesce(sum(size), 0), count(seq) FROM message WHERE sent IS "
        waiting, waiting_bytes, events = db.execute(query + "NULL").fetchone()
        history, history_bytes, _ = db.execute(query + "NOT NULL").fetchone()
        return Totals(waiting, waiting_bytes, events, history, history_bytes)

    def close(self) -> None:
        """Let go of the file, whatever state it is in."""
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = None

    @contextmanager
    def _transaction(self, synchronous: str) -> Iterator[tuple[sqlite3.Connection, Totals]]:
        """BEGIN … COMMIT; the totals take effect with the commit. FULL waits for the disk, NORMAL does not."""
        db, totals = self._db, Totals(**{name: getattr(self.totals, name) for name in Totals.__slots__})
        with mapped(self.path):
            db.execute(f"PRAGMA synchronous = {synchronous}")
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db, totals
                db.execute("COMMIT")
            except BaseException:
                if db.in_transaction:
                    with suppress(sqlite3.Error):
                        db.execute("ROLLBACK")
                raise
        self.totals = totals

    # -- what is known at start --

    def last_seq(self) -> int | None:
        """The highest event number given; the newest row is never pruned, so it is always here."""
        with mapped(self.path):
            newest = "SELECT max(seq) FROM (SELECT seq FROM {} WHERE seq NOT NULL ORDER BY n DESC LIMIT 1)"
            found = [self._db.execute(newest.format(table)).fetchone()[0] for table in ("message", "dead")]
            found.append(self._db.execute("SELECT max(last) FROM lost WHERE what = 'events'").fetchone()[0])
        return max((seq for seq in found if seq is not None), default=None)

    def last_n(self) -> int:
        """The highest row number."""
        with mapped(self.path):
            found = [self._db.execute(f"SELECT max(n) FROM {table}").fetchone()[0] for table in ("message", "dead")]
        return max((n for n in found if n is not None), default=0)

    def episodes(self) -> list[tuple[int, bytes]]:
        """(begin row, document) of every open episode, oldest first."""
        with mapped(self.path):
            return self._db.execute("SELECT begin, body FROM episode ORDER BY begin").fetchall()

    def salvage(self) -> tuple[list[Row], list[tuple[int, bytes]]]:
        """What can still be read of a damaged file: waiting rows and open episodes."""
        rows: list[Row] = []
        episodes: list[tuple[int, bytes]] = []
        with suppress(sqlite3.Error, StorageError):
            for *values, crc in self._db.execute(f"SELECT {_COLUMNS}, crc FROM message WHERE sent IS NULL ORDER BY n"):
                row = Row(*values)
                if row.crc == crc:
                    rows.append(row)
        with suppress(sqlite3.Error, StorageError):
            episodes += self._db.execute("SELECT begin, body FROM episode ORDER BY begin")
        return rows, episodes

    # -- putting --

    def insert(
        self, rows: Sequence[Row], episodes: Episodes, held: set[int], losses: Sequence[Loss] = (), told: bool = False
    ) -> None:
        """Rows, episodes and losses in one synchronous transaction; what exceeds the bounds is dropped and accounted.

        told: the rows report the losses known so far, which are forgotten.
        """
        with self._transaction("FULL") as (db, totals):
            if told:
                db.execute("DELETE FROM lost")
            db.executemany(
                f"INSERT INTO message ({_COLUMNS}, size, crc) VALUES (?,?,?,?,?,?,?,?,?,?)",
                [(r.n, r.seq, r.topic, r.send, r.keep, r.stamp, r.body, r.after, r.size, r.crc) for r in rows],
            )
            totals.waiting += len(rows)
            totals.waiting_bytes += sum(row.size for row in rows)
            totals.events += sum(row.seq is not None for row in rows)
            if episodes.all:
                db.execute("DELETE FROM episode")
            db.executemany("DELETE FROM episode WHERE episode = ?", [(key,) for key in episodes.ended])
            values = [(key, begin, body) for key, (begin, body) in episodes.open.items()]
            db.executemany("INSERT OR REPLACE INTO episode VALUES (?,?,?)", values)
            db.executemany("INSERT INTO lost VALUES (?,?,?,?,?)", [_values(loss) for loss in losses])
            if not told:  # a report may exceed the bounds: else it would drop one more, for ever
                self._trim(db, totals, held)

    def _trim(self, db: sqlite3.Connection, totals: Totals, held: set[int]) -> None:
        limits = self._limits
        while totals.events > limits.events or totals.waiting_bytes > limits.bytes:
            of = "" if totals.waiting_bytes > limits.bytes else "AND seq NOT NULL"
            query = f"SELECT {_COLUMNS} FROM message WHERE sent IS NULL {of} ORDER BY keep DESC, n LIMIT ?"
            free = (Row(*v) for v in db.execute(query, (len(held) + 1,)) if v[0] not in held)
            worst = next(free, None)
            if worst is None:  # a report went beyond the bounds, and all there is is on its way
                break
            self._drop(db, totals, worst, "full")

    @staticmethod
    def _drop(db: sqlite3.Connection, totals: Totals, row: Row, reason: str) -> None:
        db.execute("DELETE FROM message WHERE n = ?", (row.n,))
        totals.waiting -= 1
        totals.waiting_bytes -= row.size
        totals.events -= row.seq is not None
        losses = account([Loss(*v) for v in db.execute("SELECT * FROM lost ORDER BY rowid")], reason, row)
        db.execute("DELETE FROM lost")
        db.executemany("INSERT INTO lost VALUES (?,?,?,?,?)", [_values(loss) for loss in losses])

    def losses(self) -> list[Loss]:
        """What was dropped and not yet reported."""
        with mapped(self.path):
            return [Loss(*values) for values in self._db.execute("SELECT * FROM lost ORDER BY rowid")]

    # -- sending --

    def waiting(self, send: int, above: int, through: int, limit: int) -> list[int]:
        """Numbers of waiting rows of one rank with above < n <= through, oldest first."""
        query = "SELECT n FROM message WHERE sent IS NULL AND send = ? AND n > ? AND n <= ? ORDER BY n LIMIT ?"
        with mapped(self.path):
            return [n for (n,) in self._db.execute(query, (send, above, through, limit))]

    def read(self, n: int) -> Row | None:
        """One row; None when its bytes are not what was written: then it is given up."""
        with mapped(self.path):
            *values, crc = self._db.execute(f"SELECT {_COLUMNS}, crc FROM message WHERE n = ?", (n,)).fetchone()
        row = Row(*values)
        if row.crc == crc:
            return row
        self._give_up(row, "damaged")
        return None

    def state(self, n: int) -> str:
        """What became of a row: waiting · sent · gone."""
        with mapped(self.path):
            found = self._db.execute("SELECT sent IS NOT NULL FROM message WHERE n = ?", (n,)).fetchone()
        return "gone" if found is None else "sent" if found[0] else "waiting"

    def oldest(self) -> tuple[list[int], list[float]]:
        """(seq, stamp) of the event of each rank that waits longest."""
        query = "SELECT seq, stamp FROM message WHERE sent IS NULL AND send = ? ORDER BY n LIMIT 1"
        with mapped(self.path):
            found = [self._db.execute(query, (send,)).fetchone() for send in EVENT_RANKS]
        rows = [row for row in found if row]
        return [seq for seq, _ in rows], [stamp for _, stamp in rows]

    def sent(self, numbers: Iterable[int], utc: float) -> None:
        """The broker has them: events become history, pictures go. Does not wait for the disk: a loss only repeats."""
        with self._transaction("NORMAL") as (db, totals):
            for n in numbers:
                query = "SELECT size, seq NOT NULL FROM message WHERE n = ? AND sent IS NULL"
                row = db.execute(query, (n,)).fetchone()
                if row is None:
                    continue
                size, is_event = row
                totals.waiting -= 1
                totals.waiting_bytes -= size
                if is_event:
                    db.execute("UPDATE message SET sent = ? WHERE n = ?", (utc, n))
                    totals.events -= 1
                    totals.history += 1
                    totals.history_bytes += size
                else:
                    db.execute("DELETE FROM message WHERE n = ?", (n,))

    def refused(self, n: int, tries: int, reason: str, utc: float) -> int:
        """The broker answered with an error: how often by now. At `tries` the row moves to the dead letters."""
        with self._transaction("NORMAL") as (db, totals):
            found = db.execute("SELECT tries + 1, size, seq NOT NULL FROM message WHERE n = ?", (n,)).fetchone()
            if found is None:
                return tries
            count, size, is_event = found
            db.execute("UPDATE message SET tries = ? WHERE n = ?", (count, n))
            if count >= tries:
                copy = "INSERT INTO dead SELECT n, seq, topic, stamp, body, tries, ?, ? FROM message WHERE n = ?"
                db.execute(copy, (utc, reason, n))
                db.execute("DELETE FROM message WHERE n = ?", (n,))
                extra = "SELECT n FROM dead ORDER BY n DESC LIMIT 1 OFFSET ?"
                db.execute(f"DELETE FROM dead WHERE n <= ({extra})", (_DEAD_ROWS,))
                totals.waiting -= 1
                totals.waiting_bytes -= size
                totals.events -= is_event
        return int(count)

    def dead(self) -> int:
        """How many dead letters there are."""
        with mapped(self.path):
            return int(self._db.execute("SELECT count(*) FROM dead").fetchone()[0])

    def drop(self, n: int, reason: str) -> None:
        """Give a waiting row up, accounted as lost."""
        row = self.read(n)
        if row is not None:
            self._give_up(row, reason)

    def _give_up(self, row: Row, reason: str) -> None:
        with self._transaction("NORMAL") as (db, totals):
            self._drop(db, totals, row, reason)

    # -- keeping house --

    def tidy(self, utc: float, held: set[int]) -> None:
        """Give up what waited too long, prune history; a bounded bite at a time."""
        self._expire(utc - self._limits.age, held)
        limits, totals = self._limits, self.totals
        extra = totals.history - limits.history_rows
        if totals.history_bytes > limits.history_bytes and totals.history:
            mean = totals.history_bytes / totals.history
            extra = max(extra, int((totals.history_bytes - limits.history_bytes) / mean) + 1)
        with self._transaction("NORMAL") as (db, new):
            old = "sent < ? AND stamp > ?" if extra <= 0 else "(sent < ? AND stamp > ?) OR 1"
            query = (
                f"SELECT n, size FROM message WHERE sent NOT NULL AND ({old}) "
                "AND n < (SELECT max(n) FROM message WHERE seq NOT NULL) ORDER BY sent LIMIT ?"
            )
            bite = min(extra, _PRUNE) if extra > 0 else _PRUNE
            rows = db.execute(query, (utc - limits.history_age, REAL_TIME, bite)).fetchall()
            db.executemany("DELETE FROM message WHERE n = ?", [(n,) for n, _ in rows])
            new.history -= len(rows)
            new.history_bytes -= sum(size for _, size in rows)
        with mapped(self.path):
            self._db.execute("PRAGMA incremental_vacuum(256)").fetchall()

    def _expire(self, before: float, held: set[int]) -> None:
        """Heads of the queues only: what is behind is younger. Bodies are read of what goes alone."""
        query = "SELECT n, stamp FROM message WHERE sent IS NULL AND send = ? ORDER BY n LIMIT 500"
        with mapped(self.path):
            heads = [head for send in SEND_RANKS for head in self._db.execute(query, (send,)).fetchall()]
        for n, stamp in heads:
            if REAL_TIME < stamp < before and n not in held:
                self.drop(n, "age")


def _values(loss: Loss) -> tuple[str, str, int, int, int]:
    return loss.reason, loss.what, loss.first, loss.last, loss.count


def read_records(path: Path, above: int = 0, since: float = 0.0, dead: bool = False) -> Iterator[Record]:
    """Events of an outbox that another process may have open, oldest first, with n > above. StorageError."""
    query = (
        "SELECT n, 'dead', topic, body, stamp, tries, reason FROM dead WHERE seq NOT NULL AND n > ? AND stamp >= ?"
        if dead
        else "SELECT n, CASE WHEN sent IS NULL THEN 'waiting' ELSE 'sent' END, topic, body, stamp, tries, '' "
        "FROM message WHERE seq NOT NULL AND n > ? AND stamp >= ?"
    )
    with mapped(path):
        if not path.is_file():
            raise StorageError(
                f"{path}: there is no outbox here; `smartbox run` makes it, in the `box.state_dir` of its configuration"
            )
        db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        try:
            for values in db.execute(query + " ORDER BY n", (above, since)):
                yield Record(*values)
        finally:
            db.close()
