"""The outbox: events are on the disk before anyone is told, and stay until the broker has them.

`rows` says what is kept and in which order; `file` is the SQLite file, `memory` what takes over while the disk
refuses; `outbox` joins them: put -> take -> ack.
"""

from smartbox.outbox.file import FILE_NAME, read_records
from smartbox.outbox.outbox import Outbox
from smartbox.outbox.rows import Entry, Limits, Message, Record

__all__ = ["FILE_NAME", "Entry", "Limits", "Message", "Outbox", "Record", "read_records"]
