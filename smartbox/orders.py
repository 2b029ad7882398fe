"""What a box does for each command that it takes."""

import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from smartbox import configured, decoders, fitting, reset
from smartbox.build import library, untaped
from smartbox.bundle import Bundle
from smartbox.clips import Clips, Moment
from smartbox.clock import Clock
from smartbox.cloud import clip
from smartbox.cloud.command import Command, CommandError, short
from smartbox.cloud.commands import Handler, Restart
from smartbox.cloud.desired import Desired
from smartbox.cloud.fetch import fetch
from smartbox.cloud.https import Line
from smartbox.cloud.linkkey import LinkKey
from smartbox.cloud.media import Uploader
from smartbox.cloudevent import dump, timestamp
from smartbox.config import Config
from smartbox.errands import Errands
from smartbox.evidence import EvidenceStore
from smartbox.letters import Letter
from smartbox.notices import RULE
from smartbox.outbox import Entry, Outbox
from smartbox.overlay import Overlay
from smartbox.pipeline import Pipeline
from smartbox.publisher import Publisher
from smartbox.settings import parse_duration
from smartbox.silences import Silences
from smartbox.types import Event, Evidence, Frame, Sample

_FRESH = 10.0  # s; an older picture is no picture of now
_LONGEST_SILENCE = 7 * 86400.0
_KEY_WAIT = 120.0  # s for the broker to decide about a new certificate


@dataclass(frozen=True, slots=True)
class Orders:
    """One handler per command. latest: the last sample of each source; progress: how far a command is."""

    current: Callable[[], Config]
    clock: Clock
    new_id: Callable[[], str]
    outbox: Outbox
    evidence: EvidenceStore
    clips: Clips
    publisher: Publisher
    pipelines: Mapping[str, Pipeline]
    latest: Mapping[str, Sample]
    silences: Silences
    errands: Errands
    key: LinkKey
    desired: Desired | None
    progress: Callable[[Command, Mapping[str, Any]], None]
    restart: Callable[[], None]
    stop: threading.Event

    @property
    def config(self) -> Config:
        """As it is now: rules may change while the box runs."""
        return self.current()

    def handlers(self) -> dict[str, Handler]:
        """By command; what is missing here is refused as unsupported."""
        return {
            "snapshot": self.snapshot,
            "clip": self.clip,
            "test-alarm": self.test_alarm,
            "silence": self.silence,
            "acknowledge": self.acknowledge,
            "resync": self.resync,
            "reload": self.reload,
            "restart": self.restart_box,
            "upload": self.upload,
            "rotate-key": self.rotate_key,
            "model-update": self.model_update,
            "factory-reset": self.factory_reset,
        }

    def snapshot(self, command: Command) -> Mapping[str, Any]:
        """{source}: what it sees now, kept as evidence, announced on `media/…`, and small on `picture/…`."""
        args = _args(command, "source")
        source = self._source(args)
        event_id = self.new_id()
        reference, thumbnail = self._picture(source, event_id, "snapshot")
        if self.config.evidence.thumbnail:
            self._post(f"picture/{event_id}", thumbnail, "image/jpeg")
        about = {"event": event_id, "source": source, **_about(reference)}
        self._post(f"media/{event_id}", dump(about), "application/json")
        return about

    def clip(self, command: Command) -> Mapping[str, Any]:
        """{source, at, before, after}: what a camera sent around a moment, kept as evidence, announced on `media/…`."""
        asked, source = clip.request(command.args), self._source(command.args)
        if why := untaped(self.config, source):
            raise CommandError(why)
        kept, when = self.config.evidence, asked.when(command.came)
        before = kept.before if asked.before is None else asked.before
        after = kept.after if asked.after is None else asked.after
        moment = Moment(self.clock.monotonic() - self.clock.utc() + when, before, after)
        with self.clips.held(source, moment):
            if self.clock.wait(self.stop, moment.end - self.clock.monotonic()):
                raise CommandError("the box is being stopped")
            made = self.clips.make(source, moment, self.new_id(), self.clock.utc())
        if made is None:
            raise CommandError(f"{source}: {self._off_the_tape(source, moment)}")
        about = made.document()
        self._post(f"media/{made.id}", dump(about), "application/json")
        return about

    def _off_the_tape(self, source: str, moment: Moment) -> str:
        offset = self.clock.utc() - self.clock.monotonic()
        wanted = f"{timestamp(moment.start + offset)} to {timestamp(moment.end + offset)}"
        if (span := self.clips.span(source)) is None:
            return f"nothing of {wanted} is kept: the camera has sent no key frame yet, or nothing that an MP4 can hold"
        there = f"{timestamp(span[0] + offset)} to {timestamp(span[1] + offset)}"
        return f"nothing of {wanted} is kept any more; the box has {there}"

    def test_alarm(self, command: Command) -> Mapping[str, Any]:
        """{source, note}: an alarm of kind `test` that goes the way of every other, with a picture if there is one."""
        args = _args(command, "source", "note")
        source = self._source(args) if "source" in args or len(self.config.sources) == 1 else ""
        note = args.get("note", "")
        if not isinstance(note, str) or len(note) > 200:
            raise CommandError("args.note: must be text of at most 200 characters")
        utc, event_id = self.clock.utc(), self.new_id()
        files: tuple[Evidence, ...] = ()
        thumbnail = None
        detail: dict[str, Any] = {"test": True, "command": command.id, "note": note}
        if source:
            try:
                reference, thumbnail = self._picture(source, event_id, "test")
                files = (reference,)
            except CommandError as error:
                detail["picture"] = str(error)
        event = Event(
            id=event_id,
            cls="alarm",
            kind="test",
            phase="begin",
            time_utc=utc,
            monotonic=self.clock.monotonic(),
            severity="info",
            rule=RULE,
            camera=source or "box",
            zone=None,
            episode=event_id,
            started_utc=utc,
            dwell_s=0.0,
            ended_utc=utc,
            detail=detail,
        )
        put = self.outbox.put(event, files, thumbnail if self.config.evidence.thumbnail else None)
        return {"event": put.id, "seq": put.seq}

    def silence(self, command: Command) -> Mapping[str, Any]:
        """{rule, for, source}: no begin and no update of that rule for so long, over restarts too; `0s` ends it."""
        args = _args(command, "rule", "for", "source")
        rule = args.get("rule")
        if not isinstance(rule, str) or rule not in self.config.rules:
            raise CommandError(f"args.rule: {short(rule)} is none; known are {', '.join(self.config.rules) or 'none'}")
        try:
            seconds = parse_duration(args.get("for"))
        except ValueError as error:
            raise CommandError(f"args.for: {short(args.get('for'))}: {error}") from error
        if not 0 <= seconds <= _LONGEST_SILENCE:
            raise CommandError("args.for: must be 0s to 7d")
        wanted = [self._source(args)] if "source" in args else list(self.pipelines)

        def told() -> tuple[list[str], float]:
            mine = [s for s in wanted if any(runner.rule_id == rule for runner in self.pipelines[s].runners)]
            return mine, self.silences.order(rule, mine, seconds) if mine else 0.0

        silenced, until = self.errands.ask(told, "silence")
        if not silenced:
            raise CommandError(f"args.source: rule {rule!r} does not watch {short(args.get('source'))}")
        return {"rule": rule, "sources": silenced, "until": timestamp(until)}

    def acknowledge(self, command: Command) -> Mapping[str, Any]:
        """{episode, by}: somebody has seen an open episode; its update says who."""
        args = _args(command, "episode", "by")
        episode, by = args.get("episode"), args.get("by")
        if not isinstance(by, str) or not 0 < len(by) <= 64 or not by.isprintable():
            raise CommandError(f"args.by: {short(by)} must be a name of at most 64 characters")

        def told() -> list[Event]:
            now, utc = self.clock.monotonic(), self.clock.utc()
            found = [e for p in self.pipelines.values() for e in p.acknowledge(str(episode), by, now, utc)]
            return self.outbox.put_all([Entry(event) for event in found])

        events = self.errands.ask(told, "acknowledge")
        if not events:
            raise CommandError(f"args.episode: {short(episode)} is not open here")
        return {"event": events[0].id, "seq": events[0].seq}

    def resync(self, command: Command) -> Mapping[str, Any]:
        """{}: everything that is retained, and the health, once more."""
        _args(command)
        self.publisher.resync()
        return {}

    def reload(self, command: Command) -> Restart:
        """{}: read the configuration file again; a bad one changes nothing."""
        _args(command)
        problems = configured.check(self.config.path, configured.in_force(self.desired))
        if problems:
            errors = [{"path": path, "message": text[:300]} for path, text in problems[:20]]
            raise CommandError("the configuration is bad, the old one stays", {"errors": errors})
        return Restart(self.restart)

    def restart_box(self, command: Command) -> Restart:
        """{}: stop in order and begin anew; open episodes go on."""
        _args(command)
        return Restart(self.restart)

    def upload(self, command: Command) -> Mapping[str, Any]:
        """A file of the evidence to presigned URLs; see `UploadRequest`."""
        cloud = self.config.cloud
        uploader = Uploader(self.evidence.directory, cloud.upload_hosts, self.clock, cloud.https_ca)
        deadline = self._deadline(command)
        return uploader.upload(command.args, deadline, self.stop, lambda detail: self.progress(command, detail))

    def _deadline(self, command: Command) -> float:
        """Monotonic s of its expiry."""
        return self.clock.monotonic() + command.expires - self.clock.utc()

    def rotate_key(self, command: Command) -> Mapping[str, Any]:
        """{}: a new key and a request for its certificate; {certificate}: use it."""
        args = _args(command, "certificate")
        if not self.config.mqtt.tls:
            raise CommandError("mqtt.url: the connection is not encrypted, so there is no certificate to renew")
        if "certificate" not in args:
            return {"request": self.key.request(self.config.mqtt)}
        if not isinstance(args["certificate"], str):
            raise CommandError("args.certificate: must be PEM text")
        until = self.key.install(args["certificate"], self.clock.utc())
        self.publisher.reconnect()
        if not self.key.decided.wait(_KEY_WAIT):
            raise CommandError("the broker was not reached with either certificate yet; the box keeps trying both")
        if self.key.refusal:
            raise CommandError(self.key.refusal)
        return {"valid_until": timestamp(until.timestamp())}

    def model_update(self, command: Command) -> Restart:
        """{url, sha256}: fetch a sealed model, install it as `smartbox models install` does, restart with it."""
        args = _args(command, "url", "sha256")
        url, sha256 = args.get("url"), args.get("sha256")
        if not isinstance(url, str) or not isinstance(sha256, str):
            raise CommandError("args: url and sha256 of the sealed file are needed")
        config, books = self.config, library(self.config)
        line = Line(self.clock, config.cloud.https_ca, self._deadline(command), self.stop)
        incoming = config.box.state_dir / ".incoming-model"
        try:
            fetch(url, sha256, incoming, config.cloud.model_hosts, line)
            offered = books.shelf.offered(incoming, self.clock.utc())
            decoders.build(offered.manifest)  # one that this program cannot read would not run
            if offered.name not in {model.bundle for model in config.models.values()}:
                raise CommandError(f"{offered.name!r} is no model of this box' configuration")
            bundle = books.install(incoming, lambda release: _fit(config, self.desired, release))
        finally:
            with suppress(OSError):
                incoming.unlink(missing_ok=True)
        release = bundle.manifest.release
        about = {"name": bundle.name, "version": bundle.manifest.version, "sha256": bundle.sha256}
        return Restart(self.restart, about | {"release_seq": release.release_seq if release else None})

    def factory_reset(self, command: Command) -> Restart:
        """{box}: forget events, pictures, and what came from above; its own name guards against a mistake."""
        args = _args(command, "box")
        name = f"{self.config.box.site}/{self.config.box.id}"
        if args.get("box") != name:
            raise CommandError(f"args.box: must be {name!r}, the box that is to forget everything")
        reset.request(self.config.box.state_dir)
        return Restart(self.restart)

    # -- what several need --

    def _source(self, args: Mapping[str, Any]) -> str:
        known = list(self.config.sources)
        source = args.get("source", known[0] if len(known) == 1 else None)
        if source not in known:
            raise CommandError(f"args.source: {short(source)} is none; known are {', '.join(known) or 'none'}")
        return str(source)

    def _picture(self, source: str, event_id: str, why: str) -> tuple[Evidence, bytes]:
        """What the source sees now, kept. The thread that judges also converts pictures; it must not be done twice."""
        sample = self.latest.get(source)
        if not isinstance(sample, Frame):
            raise CommandError(f"source {source!r} has delivered no picture")
        age = self.clock.monotonic() - sample.time
        if age > _FRESH:
            raise CommandError(f"source {source!r} has delivered nothing for {age:.0f} s")
        image = self.errands.ask(lambda: sample.image, "picture")
        overlay = Overlay(text=f"{why} · {source}", masks=self.config.sources[source].masks)
        return self.evidence.save_picture(image, overlay, event_id, sample.utc)

    def _post(self, topic: str, payload: bytes, content_type: str) -> None:
        self.publisher.letters.post(Letter(topic, payload, content_type=content_type))


def _about(reference: Evidence) -> dict[str, Any]:
    return {"kind": reference.kind, "name": reference.name, "sha256": reference.sha256, "bytes": reference.bytes}


def _args(command: Command, *known: str) -> Mapping[str, Any]:
    """The arguments; CommandError for one that this command does not have."""
    for name in command.args:
        if name not in known:
            right = f"known are {', '.join(known)}" if known else "this command takes none"
            raise CommandError(f"args: {short(name)} is unknown; {right}")
    return command.args


def _fit(config: Config, desired: Desired | None, release: Bundle) -> None:
    """CommandError when the box would not start again with it."""
    if problems := fitting.check(config.path, configured.in_force(desired), release):
        errors = [{"path": path, "message": text[:300]} for path, text in problems[:20]]
        raise CommandError("the configuration is not good with this model, the one before stays", {"errors": errors})
