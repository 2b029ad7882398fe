"""The outbox, point by point of its contract: commit, order, acknowledgement, bounds, restart, damage."""

import json
from pathlib import Path

import numpy as np

from smartbox import cloudevent
from smartbox.clock import ManualClock
from smartbox.outbox import Entry, Limits, Message, Outbox, read_records
from smartbox.types import Evidence
from tests.link.conftest import Boxes
from tests.link.events import Events

JPEG = b"\xff\xd8picture\xff\xd9"
FILE = Evidence("jpeg", "a.jpg", "00" * 32, 1234)


def seqs(messages: list[Message]) -> list[int]:
    return [json.loads(m.payload)["seq"] for m in messages if m.topic.startswith("event/")]


def details(outbox: Outbox) -> list[dict]:
    """What the `data_loss` events that wait say."""
    messages = [m for m in outbox.take(10_000) if m.topic == "event/system/data_loss"]
    outbox.release()
    return [json.loads(m.payload)["data"]["detail"] for m in messages]


def test_put_assigns_seq_session_and_evidence_and_is_on_the_disk(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    assert outbox.next_session() == 1
    put = outbox.put(events.begin(), [FILE])
    assert (put.seq, put.session, put.evidence) == (1, 1, (FILE,))
    (record,) = read_records(boxes.state / "outbox.db")
    assert record.state == "waiting" and record.topic == "event/alarm/fire_lane"
    assert cloudevent.from_json(record.body) == put


def test_alarms_go_first_then_system_then_notices_each_oldest_first(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    for cls in ("notice", "system", "alarm", "notice", "alarm"):
        outbox.put(events.begin(cls))
    assert seqs(outbox.take(10)) == [3, 5, 2, 1, 4]


def test_what_is_handed_out_is_not_handed_out_again_until_released(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    outbox.put_all([Entry(events.begin()) for _ in range(5)])
    assert seqs(outbox.take(2)) == [1, 2]
    assert seqs(outbox.take(2)) == [3, 4]
    outbox.release()
    assert seqs(outbox.take(10)) == [1, 2, 3, 4, 5]


def test_acknowledged_events_are_history_and_do_not_return(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    outbox.put_all([Entry(events.begin()) for _ in range(3)])
    outbox.ack(m.n for m in outbox.take(2))
    assert outbox.depth().acked_through == 2 and outbox.depth().events == 1
    outbox.close()
    assert seqs(boxes().take(10)) == [3]
    assert [r.state for r in read_records(boxes.state / "outbox.db")] == ["sent", "sent", "waiting"]


def test_a_backlog_says_replayed_and_the_session_that_delivers(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    outbox.next_session()
    outbox.put(events.begin())
    mark = outbox.depth().last_n
    outbox.next_session()
    outbox.put(events.begin())
    (live,) = outbox.take(10, above=mark)
    (old,) = outbox.take(10, through=mark, replayed=True)
    read = [(e.seq, e.session, e.replayed) for e in map(cloudevent.from_json, (live.payload, old.payload))]
    assert read == [(2, 2, False), (1, 2, True)]


def test_a_picture_follows_its_begin_and_never_overtakes_it(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    begin = outbox.put(events.begin(), [FILE], JPEG)
    (first,) = outbox.take(10)
    assert first.topic == "event/alarm/fire_lane" and outbox.take(10) == []
    outbox.ack([first.n])
    (picture,) = outbox.take(10)
    assert (picture.topic, picture.payload) == (f"picture/{begin.episode}", JPEG)
    outbox.ack([picture.n])
    assert outbox.depth().messages == 0


def test_refused_five_times_is_a_dead_letter_and_blocks_nobody(
    boxes: Boxes, events: Events, clock: ManualClock
) -> None:
    outbox = boxes()
    outbox.put(events.begin(), [], JPEG)
    outbox.put(events.begin())
    bad, good = outbox.take(2)
    outbox.ack([good.n])
    for _ in range(4):
        assert not outbox.fail(bad.n, "0x97 quota exceeded")
        assert outbox.take(10) == []
        clock.advance(100)
        assert [m.n for m in outbox.take(10)] == [bad.n]
    assert outbox.fail(bad.n, "0x97 quota exceeded")
    clock.advance(1000)
    assert outbox.take(10) == [], "the picture of a dead begin goes with it"
    assert outbox.depth().dead == 1 and outbox.depth().events == 0
    (record,) = read_records(boxes.state / "outbox.db", dead=True)
    assert (record.tries, record.reason) == (5, "0x97 quota exceeded")


def test_dead_letters_stay_however_many_events_come_between_them(boxes: Boxes, events: Events) -> None:
    outbox = boxes(retry_after=0.0)
    for _ in range(2):
        bad = outbox.put(events.begin())
        (message,) = outbox.take(1)
        assert json.loads(message.payload)["id"] == bad.id
        while not outbox.fail(message.n, "0x97 quota exceeded"):
            pass
        outbox.put_all([Entry(events.begin()) for _ in range(1500)])
        outbox.ack(m.n for m in outbox.take(1500))
    assert outbox.depth().dead == 2


def test_open_episodes_survive_a_restart_with_their_last_word(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    one, two, three = events.begin(), events.begin(), events.begin()
    outbox.put_all([Entry(one), Entry(two), Entry(three), Entry(events.end(two))])
    last = outbox.put(events.update(one, severity="critical"))
    outbox.put(events.begin("system", "camera_offline", rule=""))
    again = boxes()  # the first is not closed: as after a kill
    assert [(e.episode, e.severity) for e in again.open_episodes()] == [
        (one.episode, "critical"),
        (three.episode, "high"),
    ]
    assert again.open_episodes()[0] == last
    again.put(events.end(one))
    assert [e.episode for e in boxes().open_episodes()] == [three.episode]


def test_begin_and_end_in_one_transaction_leave_nothing_open(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    begin = events.begin()
    outbox.put_all([Entry(begin), Entry(events.end(begin))])
    assert outbox.open_episodes() == [] == boxes().open_episodes()


def test_numbers_go_on_after_a_restart_and_are_never_used_again_without_the_file(boxes: Boxes, events: Events) -> None:
    assert boxes().put(events.begin()).seq == 1
    assert boxes().put(events.begin()).seq == 2
    boxes.close()
    for file in boxes.state.glob("outbox.db*"):
        file.unlink()
    assert boxes().put(events.begin()).seq > 10_000


def test_a_torn_counter_never_leads_back(boxes: Boxes, events: Events, clock: ManualClock) -> None:
    boxes().put(events.begin())
    boxes.close()
    for file in boxes.state.glob("outbox.db*"):
        file.unlink()
    (boxes.state / "outbox-seq").write_bytes(b"150")
    assert boxes().put(events.begin()).seq > 1_000_000_000_000


def test_sessions_rise_over_restarts(boxes: Boxes) -> None:
    assert [boxes().next_session(), boxes().next_session(), boxes().next_session()] == [1, 2, 3]


def test_full_drops_pictures_then_updates_then_notices_and_says_exactly_what(boxes: Boxes, events: Events) -> None:
    outbox = boxes(Limits(events=4))
    begin = outbox.put(events.begin("alarm"))  # 1
    outbox.put(events.begin("notice"))  # 2
    outbox.put(events.update(begin))  # 3
    outbox.put(events.begin("notice"))  # 4
    outbox.put(events.begin("alarm"))  # 5: drops 3
    outbox.put(events.begin("alarm"))  # 6: drops 2
    outbox.put(events.begin("alarm"))  # 7: drops 4
    assert outbox.depth().events == 4
    outbox.put(events.begin("notice"))  # 8: is itself the least
    outbox.ack(m.n for m in outbox.take(1))
    outbox.tend()
    assert details(outbox) == [
        {
            "events": 4,
            "pictures": 0,
            "lost": [{"reason": "full", "what": "events", "count": 4, "ranges": [[3, 3], [2, 2], [4, 4], [8, 8]]}],
        }
    ]
    outbox.tend()
    assert len(details(outbox)) == 1, "told once"


def test_full_of_events_that_are_all_on_their_way_drops_the_new_one_alone(boxes: Boxes, events: Events) -> None:
    outbox = boxes(Limits(events=4))
    for _ in range(5):
        outbox.put(events.begin())
    outbox.tend()  # the report of the one that was dropped is a fifth
    on_their_way = outbox.take(5)
    outbox.put(events.begin())
    outbox.ack(m.n for m in on_their_way)
    outbox.tend()
    (loss,) = details(outbox)
    assert loss["lost"] == [{"reason": "full", "what": "events", "count": 1, "ranges": [[7, 7]]}]


def test_a_thousand_too_many_are_one_exact_range(boxes: Boxes, events: Events) -> None:
    outbox = boxes(Limits(events=1000))
    for _ in range(20):
        outbox.put_all([Entry(events.begin()) for _ in range(100)])
    outbox.tend()
    (loss,) = details(outbox)
    assert loss["events"] == 1000
    assert loss["lost"][0]["ranges"] == [[1, 1000]]


def test_bytes_drop_pictures_first(boxes: Boxes, events: Events) -> None:
    outbox = boxes(Limits(bytes=40_000))
    for _ in range(10):
        outbox.put(events.begin(), [], b"\xff\xd8" + bytes(8000) + b"\xff\xd9")
    assert outbox.depth().events == 10 and outbox.depth().bytes <= 40_000
    outbox.tend()
    (loss,) = details(outbox)
    assert loss["events"] == 0 and loss["pictures"] > 0


def test_old_events_expire_with_a_report_but_not_those_of_an_unset_clock(
    boxes: Boxes, events: Events, clock: ManualClock
) -> None:
    outbox = boxes()
    clock.jump(-clock.utc())  # 1970
    outbox.put(events.begin())
    clock.jump(1_790_000_000)
    outbox.put(events.begin())
    clock.advance(31 * 86400)
    outbox.tend()
    (loss,) = details(outbox)
    assert loss["lost"] == [{"reason": "age", "what": "events", "count": 1, "ranges": [[2, 2]]}]


def test_history_is_pruned_by_rows_bytes_and_age_and_numbers_survive(
    boxes: Boxes, events: Events, clock: ManualClock
) -> None:
    outbox = boxes(Limits(history_rows=5))
    outbox.put_all([Entry(events.begin()) for _ in range(20)])
    outbox.ack(m.n for m in outbox.take(20))
    outbox.tend()
    assert len(list(read_records(boxes.state / "outbox.db"))) == 5
    clock.advance(31 * 86400)
    outbox.tend()
    outbox.close()
    assert len(list(read_records(boxes.state / "outbox.db"))) == 1, "the newest keeps the number"
    assert boxes().put(events.begin()).seq == 21


def test_a_corrupt_file_is_moved_aside_and_said(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    outbox.put_all([Entry(events.begin()) for _ in range(50)])
    outbox.close()
    path = boxes.state / "outbox.db"
    damaged = bytearray(path.read_bytes())
    damaged[100:8192] = bytes(8092)
    path.write_bytes(damaged)
    again = boxes()
    assert again.degraded is None
    (loss,) = details(again)
    assert loss["reason"] == "corrupt" and loss["through"] >= 50
    assert (boxes.state / loss["file"]).is_file()
    assert again.put(events.begin()).seq > loss["through"]


def test_damage_at_run_time_saves_what_can_be_read(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    outbox.put_all([Entry(events.begin()) for _ in range(5000)])
    outbox.close()
    outbox = boxes()
    path = boxes.state / "outbox.db"
    half = path.stat().st_size // 2
    with path.open("r+b") as file:
        file.seek(half)
        file.write(b"\x77" * half)
    sent = seqs(outbox.take(10_000))
    sent += seqs(outbox.take(10_000))
    (loss,) = details(boxes()) or details(outbox)
    assert outbox.degraded is None
    assert loss["saved"] >= 1000 and set(range(1, 1000)) <= set(sent)


def test_listeners_hear_of_every_put(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    heard: list[int] = []
    outbox.listen(lambda: heard.append(outbox.depth().events))
    outbox.put(events.begin())
    outbox.put(events.begin())
    assert heard == [1, 2]


def test_a_directory_in_place_of_the_file_is_degraded_and_heals(
    boxes: Boxes, events: Events, clock: ManualClock
) -> None:
    (boxes.state / "outbox.db").mkdir(parents=True)
    outbox = boxes()
    assert outbox.degraded and "outbox.db" in outbox.degraded
    put = outbox.put(events.begin())
    assert [json.loads(m.payload)["seq"] for m in outbox.take(10)] == [put.seq]
    outbox.release()
    Path(boxes.state / "outbox.db").rmdir()
    clock.advance(2)
    outbox.tend()
    assert outbox.degraded is None
    assert put.seq in seqs(boxes().take(10))


def test_memory_is_bounded_and_alarms_stay(boxes: Boxes, events: Events, clock: ManualClock) -> None:
    (boxes.state / "outbox.db").mkdir(parents=True)
    outbox = boxes(Limits(memory=10))
    alarms = [outbox.put(events.begin()).seq for _ in range(8)]
    for _ in range(20):
        outbox.put(events.begin("notice"))
    assert set(alarms) <= set(seqs(outbox.take(100)))
    outbox.release()
    (boxes.state / "outbox.db").rmdir()
    clock.advance(2)
    outbox.tend()
    lost = {item["reason"]: item["count"] for item in details(outbox)[0]["lost"]}
    assert lost["memory"] == 18
    assert lost.get("renumbered", 0) == 0


def test_acknowledged_in_memory_is_not_sent_again(boxes: Boxes, events: Events, clock: ManualClock) -> None:
    (boxes.state / "outbox.db").mkdir(parents=True)
    outbox = boxes()
    begin = events.begin()
    outbox.put(begin, [], JPEG)
    outbox.ack(m.n for m in outbox.take(10))
    (picture,) = outbox.take(10)
    assert picture.topic.startswith("picture/")
    outbox.ack([picture.n])
    (boxes.state / "outbox.db").rmdir()
    clock.advance(2)
    outbox.tend(tell=False)
    assert outbox.take(10) == []
    assert [e.episode for e in boxes().open_episodes()] == [begin.episode]


def test_looking_at_a_refusing_disk_does_not_put_its_recovery_off(
    boxes: Boxes, events: Events, clock: ManualClock
) -> None:
    (boxes.state / "outbox.db").mkdir(parents=True)
    outbox = boxes()
    outbox.put(events.begin())
    reason = outbox.degraded
    (boxes.state / "outbox.db").rmdir()
    for _ in range(5):
        clock.advance(0.5)
        outbox.depth()
        outbox.take(0)
        assert outbox.degraded == reason
    outbox.put(events.begin())
    assert outbox.degraded is None


def test_an_episode_that_ended_while_the_disk_refused_stays_ended(
    boxes: Boxes, events: Events, clock: ManualClock
) -> None:
    outbox = boxes()
    one, two = events.begin(), events.begin()
    outbox.put_all([Entry(one), Entry(two)])
    away = boxes.state.rename(boxes.state.with_name("away"))
    outbox._file.close()
    boxes.state.write_text("no directory")
    outbox.put(events.end(one))
    assert outbox.degraded
    boxes.state.unlink()
    away.rename(boxes.state)
    clock.advance(5)
    outbox.tend()
    assert outbox.degraded is None
    assert [e.episode for e in outbox.open_episodes()] == [two.episode]
    assert [e.episode for e in boxes().open_episodes()] == [two.episode]


def test_numbers_sent_from_memory_alone_are_never_given_again(boxes: Boxes, events: Events, clock: ManualClock) -> None:
    first = boxes()
    used = {first.put(events.begin()).seq}
    first.close()
    file = boxes.state / "outbox.db"
    kept = file.rename(boxes.state / "kept.db")
    file.mkdir()
    outbox = boxes()
    used.add(outbox.put(events.begin()).seq)
    outbox.ack(m.n for m in outbox.take(10))
    file.rmdir()
    kept.rename(file)
    clock.advance(5)
    outbox.tend(tell=False)
    assert outbox.degraded is None
    again = boxes()
    used.add(again.put(events.begin()).seq)
    assert len(used) == 3


def test_numbers_of_numpy_are_numbers(boxes: Boxes, events: Events) -> None:
    outbox = boxes()
    outbox.put(events.begin(detail={"speed": np.float32(0.5), "count": np.int64(3)}))
    (message,) = outbox.take(1)
    assert json.loads(message.payload)["data"]["detail"] == {"speed": 0.5, "count": 3}


def test_nothing_put_is_nothing(boxes: Boxes) -> None:
    assert boxes().put_all([]) == []
