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
    Row("28", "new version of a model or a configuration crash-loops", "old version back within 3 starts"),
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

# Tests that live with what they test: row -> beginnings of their names. They count as if they were marked.
LIVE_ELSEWHERE = {
    "10": (
        "tests/cli/test_run.py::test_a_wrong_reload_changes_nothing",
        "tests/link/test_desired.py::test_a_save_cut_at_any_byte",
        "tests/test_bundle.py::test_a_torn_manifest_is_named",
        "tests/test_bundle.py::test_corrupt_files_are_backend_errors",
        "tests/test_shelf.py::test_torn_state_is_survived",
        "tests/test_shelf.py::test_cut_off_at_each_step",
    ),
    "13": ("tests/e2e/test_road.py::test_a_read_only_disk_is_no_reason",),
    "15": ("tests/rules/test_behaviour.py::test_a_clock_jump_makes_and_hides_no_alarm",),
    "16": ("tests/test_schedule.py::test_the_clock_goes_",),
    "17": (
        "tests/e2e/test_faults.py::test_a_camera_that_drops",
        "tests/sources/test_rtsp.py::test_a_lost_camera_is_an_error",
        "tests/sources/test_rtsp.py::test_two_cameras_one_of_them_stalled",
    ),
    "18": ("tests/e2e/test_faults.py::test_faulty_pictures_are_told_apart",),
    "19": (
        "tests/sources/test_rtsp.py::test_damaged_packets_do_no_harm",
        "tests/sources/test_file.py::test_damaged_pictures_are_skipped",
        "tests/sources/test_file.py::test_a_change_of_size_mid_stream",
        "tests/sources/test_http.py::test_mpegts_that_changes_its_size",
    ),
    "20": ("tests/sources/test_v4l2.py::test_unplugged_and_back_under_another_name",),
    "22": ("tests/e2e/test_road.py::test_a_failing_model_is_said",),
    "25": (
        "tests/link/test_desired.py::test_a_bad_configuration_is_rejected",
        "tests/link/test_desired.py::test_a_configuration_that_loses_the_broker",
        "tests/link/test_desired.py::test_a_trial_that_never_comes_up",
        "tests/link/test_live.py::test_it_is_taken_back",
    ),
    "26": (
        "tests/link/test_commands.py::test_what_is_refused_and_why",
        "tests/link/test_commands.py::test_a_retained_command",
        "tests/link/test_commands.py::test_a_command_that_",
        "tests/link/test_commands.py::test_a_command_is_accepted",
    ),
    "28": (
        "tests/link/test_desired.py::test_a_trial_that_never_comes_up",
        "tests/test_shelf.py::test_a_release_that_kills_the_process",
    ),
    "29": (
        "tests/test_sealed.py::test_one_bit_flipped_anywhere",
        "tests/test_sealed.py::test_cut_off_anywhere",
        "tests/test_sealed.py::test_each_way_of_tampering",
        "tests/test_shelf.py::test_what_is_refused_changes_nothing",
        "tests/test_shelf.py::test_the_one_before_runs",
        "tests/cli/test_sealed_run.py::test_a_sealed_model_runs_and_one_that_was_damaged",
    ),
    "32": ("tests/e2e/test_road.py::test_nothing_there_is_no_reason",),
    "33": ("tests/e2e/test_faults.py::test_sigterm_under_load",),
    "35": (
        "tests/cli/test_fuzz.py::",
        "tests/link/test_fuzz.py::",
        "tests/link/test_commands.py::test_bytes_that_are_no_json",
        "tests/link/test_media.py::test_only_hosts_on_the_list",
    ),
}


def of(test: str) -> list[str]:
    """The rows of a test that is not marked itself."""
    return [row for row, beginnings in LIVE_ELSEWHERE.items() if test.startswith(beginnings)]
