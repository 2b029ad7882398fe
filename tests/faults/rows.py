"""The rows of the fault table: what is broken, and the line that must hold."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """elsewhere: the suite that has it, where `make faults` cannot run it."""

    key: str
    fault: str
    line: str
    elsewhere: str = ""


_SYSTEMD = "`make test-systemd`: `tests/systemd/test_service.py`"

ROWS = [
    Row("1", "broker down and up, 6 times", "lost 0, duplicates allowed"),
    Row("2", "black hole: packets dropped, no RST", "noticed in <= 45 s"),
    Row("3", "broker restarts without its persistence", "all retained topics back in <= 10 s"),
    Row("4", "slow, lossy line (600 ms, 2 %)", "un-acked in flight never above the window of 10"),
    Row("5", "PUBACKs lost", "consumer's set = sent set"),
    Row("6", "PUBACK 0x97 / 0x87", "dead letter after 5, later events not blocked"),
    Row("7", "the same client id used twice", "under 1 connect/s, a system event"),
    Row("8", "kill -9, 1000 times, >= 200 inside put, >= 200 before the PUBACK", "lost 0"),
    Row("9", "power cut, >= 500 images of the disk", "opens; 0 committed events lost"),
    Row("10", "torn or empty config, state, model", "the previous version is used; always starts"),
    Row("11", "database corrupt", "moved aside, `data_loss` sent, started in <= 30 s"),
    Row("12", "disk full", "pictures pruned first, alarms kept, recovers by itself"),
    Row("13", "read-only data partition", "degraded, 1000 events in memory, no crash"),
    Row("14", "outbox full, 100 001 events", "exact count in `data_loss`"),
    Row("15", "clock +1 day, -1 h, 1970 at boot", "0 false or missed alarms"),
    Row("16", "DST change", "schedule windows exact"),
    Row("17", "camera drops TCP, or sends nothing", "offline event in <= 10 s, back by itself, others go on"),
    Row("18", "camera frozen, black, blurred, moved", "degraded with the reason in <= 30 s"),
    Row("19", "corrupt packets; resolution changes mid-stream", "no crash; zones stay valid"),
    Row("20", "USB camera unplugged and back under another name", "rebound in <= 10 s"),
    Row("21", "a native call never returns", "restarted in <= 30 s, nothing committed lost", _SYSTEMD),
    Row("22", "backend fails or crashes repeatedly", "falls back to the next backend; event"),
    Row("23", "memory leak, OOM kill", "back in <= 10 s, event after restart", _SYSTEMD),
    Row("24", "CPU starved", "fps drops evenly; alarm delay < dwell + 5 s"),
    Row("25", "bad configuration from the cloud", "rejected, or reverted after 5 min without the broker"),
    Row("26", "retained, expired, duplicate, oversize command", "refused with an ack, run at most once"),
    Row("27", "update cut, forged, older, expired, for other hardware", "the old version runs; refusal event"),
    Row("28", "new version crash-loops", "old version back within 3 starts"),
    Row("29", "model bundle forged, flipped, truncated, reordered, older", "refused, previous model kept"),
    Row("30", "certificate expired, wrong host, CA rotated", "0 plain-text bytes, events kept, reason shown"),
    Row(
        "31",
        "200 boxes reconnect after 60 s without the broker",
        "<= 40 CONNECT/s at the peak; first backlog publish p5-p95 >= 8 s; lost 0",
    ),
    Row("32", "start with everything missing", "READY <= 10 s, degraded, recovers by itself"),
    Row("33", "SIGTERM under load", "`stopped` sent, outbox closed, <= 5 s"),
    Row("34", "soak with random faults", "RSS drift < 5 %, threads and descriptors constant, lost 0"),
    Row("35", "hostile input", "a clear refusal, never a traceback or a hang"),
    Row("backlog", "10 000 events waited", "drained; a live alarm waits <= 1 s"),
    Row("put", "one event committed", "p99 <= 5 x that of a bare fdatasync in the same run"),
    Row("burst", "events in bursts, batched commits", ">= 1000 events/s"),
]
