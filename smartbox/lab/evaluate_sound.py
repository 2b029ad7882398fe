"""Scores a sound bundle through the box's own road: its file source, windows, backend, decoder and `sound` rule.

Words: the class with the highest score of one window around each clip. Alarms: whether the rule, as a user gets it,
would have raised one; per recording, for a recording is what stands for one happening.
"""

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smartbox import decoders, plugins
from smartbox.bundle import Bundle
from smartbox.episodes import RuleRunner
from smartbox.errors import ConfigError
from smartbox.hearing import Hearing
from smartbox.lab import soundclips
from smartbox.lab.soundclips import Split
from smartbox.logmel import features
from smartbox.pipeline import WHOLE
from smartbox.progress import each
from smartbox.simulation.sound import alarm
from smartbox.types import AudioChunk, Floats, Scene, Sounds

SNRS = (0, 10)
SEED = 9_700_000  # of the alarms and of the noise behind them: no training uses it
ALARM_S = 12.0  # two rounds of T4, three of T3
ALARMS = 25  # of each pattern and pitch, at each SNR
SYNTHESISED = "smoke_alarm"
NO_ALARM = ("unknown", "background")
SCORES = (0.5, 0.7, 0.8, 0.9)  # that a user may set for all labels
CHUNK = 8000

Heard = Sequence[tuple[float, Sounds]]
"""What a model says, window by window, with the times."""
Stream = tuple[str, float, Heard]
"""What is played, its seconds, and what a model says to it."""


class Listener:
    """A bundle's session and decoder, with the time that windows took."""

    def __init__(self, bundle: Bundle, backend: str) -> None:
        self.input = bundle.manifest.inputs[0]
        if bundle.manifest.task != "sound" or self.input.sound is None:
            raise ConfigError(f"{bundle.name} is a bundle for {bundle.manifest.task}; this scores task sound only")
        self.spec = self.input.sound
        self.decoder = decoders.build(bundle.manifest)
        self.session: Any = plugins.load("backends", backend)().open(bundle)
        self.windows, self.seconds = 0, 0.0

    def scores(self, tensor: NDArray[Any]) -> Sounds:
        began = time.perf_counter()
        outputs = self.session.run({self.input.name: tensor[None]})
        heard = self.decoder.decode({k: v[0] for k, v in outputs.items()}, WHOLE)
        self.seconds += time.perf_counter() - began
        self.windows += 1
        assert isinstance(heard, Sounds)
        return heard

    def word(self, samples: Floats) -> str:
        """The best label of the window in the middle."""
        lacking = max(0, self.spec.samples - len(samples))
        padded = np.pad(samples, (lacking // 2, lacking - lacking // 2))
        at = (len(padded) - self.spec.samples) // 2
        heard = self.scores(features(padded[at : at + self.spec.samples], self.spec))
        return heard.labels[int(heard.score.argmax())]

    def stream(self, samples: Floats) -> Iterator[tuple[float, Sounds]]:
        """(time, what is heard) every `spec.every` s, as the box would have it."""
        hearing = Hearing(self.spec)
        for i, start in enumerate(range(0, len(samples), CHUNK)):
            at = start / self.spec.rate
            chunk = AudioChunk("mic", i, at, at, self.spec.rate, samples[start : start + CHUNK])
            for window in hearing.hear(chunk):
                yield window.time, self.scores(window.tensor)


def begins(heard: Heard, labels: Sequence[str], **settings: Any) -> list[tuple[float, str]]:
    """(time, label) of each alarm that the `sound` rule raises, with its defaults where `settings` says nothing."""
    rule = plugins.load("rules", "sound")(cameras=["mic"], labels=labels, **settings)
    runner = RuleRunner("heard", "sound", rule, "mic", (), iter(map(str, range(10**9))).__next__)
    events = [event for at, sounds in heard for event in runner.step(Scene("mic", at, at, sounds=sounds))]
    return [(event.monotonic, event.objects[0].label) for event in events if event.phase == "begin"]


def raised(heard: Heard, labels: Sequence[str]) -> list[str]:
    """Labels of the alarms that a user gets who sets nothing."""
    return [label for _, label in begins(heard, labels)]


def evaluate(
    bundle: Bundle,
    folder: Path,
    *,
    backend: str | None = None,
    part: Split | None = "test",
    groups: Mapping[str, Sequence[str]] | None = None,
) -> dict[str, Any]:
    """What `smartbox lab evaluate` prints for a sound bundle.

    folder: a folder per class, or folders that hold such. part: only that part of `soundclips.split_of`; None: all.
    groups: label -> folders that are counted as it.
    """
    listener = Listener(bundle, backend or next(iter(bundle.manifest.files)))
    names = {member: label for label, members in (groups or {}).items() for member in members}
    found: dict[str, list[Path]] = {}
    for path in (path for place in _folders(folder) for path in sorted(place.glob("*")) if path.is_dir()):
        kept = [p for p in soundclips.clips(path) if part is None or soundclips.split_of(p.stem) == part]
        found.setdefault(names.get(path.name, path.name), []).extend(kept)
    clips = [(label, path) for label in bundle.labels for path in found.get(label, [])]
    if not clips:
        of, known = f" of part {part}" if part else "", ", ".join(bundle.labels)
        raise ConfigError(f"{folder}: no folder bears the name of a label with files{of}; labels are {known}")
    result = {"part": part or "all", "clips": len(clips), **_words(listener, clips)}
    result |= _recordings(listener, clips, bundle.labels)
    if SYNTHESISED in bundle.labels:
        noises = [path for label, path in clips if label == "background"]
        result[SYNTHESISED] = _synthesised(listener, noises)
    listener.session.close()
    return result | {
        "not_scored": sorted(set(found) - set(bundle.labels)),
        "backend": listener.session.name,
        "ms_per_window": round(1000 * listener.seconds / max(listener.windows, 1), 3),
    }


def _folders(folder: Path) -> list[Path]:
    """`folder` itself where its folders hold sounds, else those of its folders whose folders do."""
    if not folder.is_dir():
        raise ConfigError(f"{folder} is no directory; give one with a folder of sounds per class")
    direct = any(soundclips.clips(path) for path in folder.glob("*") if path.is_dir())
    return [folder] if direct else sorted(path for path in folder.glob("*") if path.is_dir())


def _words(listener: Listener, clips: Sequence[tuple[str, Path]]) -> dict[str, Any]:
    """Top-1 over the clips that are about as long as a window: words."""
    right, total = Counter[str](), Counter[str]()
    confused = Counter[str]()
    for label, path in each(clips, "words"):
        samples = soundclips.read(path)
        if len(samples) > 1.2 * listener.spec.samples:
            continue
        said = listener.word(samples)
        total[label] += 1
        right[label] += said == label
        if said != label:
            confused[f"{label} as {said}"] += 1
    return {
        "words": sum(total.values()),
        "top1": _share(sum(right.values()), sum(total.values())),
        "per_class": {label: _share(right[label], n) for label, n in total.items()},
        "confused": dict(confused.most_common(8)),
    }


def _recordings(listener: Listener, clips: Sequence[tuple[str, Path]], labels: Sequence[str]) -> dict[str, Any]:
    """Every clip as a stream, and all as one: which alarms the rule raises."""
    seconds = 0.0
    streams: list[Stream] = []
    for label, path in each(clips, "recordings"):
        samples = soundclips.read(path)
        padded = np.pad(samples, (0, max(0, listener.spec.samples - len(samples))))
        seconds += len(samples) / listener.spec.rate
        streams.append((label, len(padded) / listener.spec.rate, list(listener.stream(padded))))
    hours = seconds / 3600
    heard, wrong = _alone(streams, labels)
    joined = _joined(streams, labels)
    return {
        "hours": round(hours, 4),
        "heard": heard,
        "false_alarms": {
            label: {
                "count": wrong[label],
                "in_one_stream": joined[label],
                "per_hour_95": round(_bound(max(wrong[label], joined[label])) / hours, 2),
            }
            for label in labels
            if label not in NO_ALARM
        },
        "at_score": {f"{score:g}": _at(score, streams, labels) for score in SCORES},
    }


def _at(score: float, streams: Sequence[Stream], labels: Sequence[str]) -> dict[str, Any]:
    """What a user gets who sets this score in the rule."""
    heard, wrong = _alone(streams, labels, score=score)
    joined = _joined(streams, labels, score=score)
    worst = {label: max(wrong[label], joined[label]) for label in labels if label not in NO_ALARM}
    return {"heard": heard, "false_alarms": worst}


def _alone(
    streams: Sequence[Stream], labels: Sequence[str], **settings: Any
) -> tuple[dict[str, float | None], Counter[str]]:
    """Of each label the share of its recordings in which it is raised; how often each is raised in others."""
    total, hit, wrong = Counter[str](), Counter[str](), Counter[str]()
    for label, _, heard in streams:
        said = [other for _, other in begins(heard, labels, **settings)]
        total[label] += 1
        hit[label] += label in said
        wrong.update(other for other in said if other != label)
    return {label: _share(hit[label], n) for label, n in total.items()}, wrong


def _joined(streams: Sequence[Stream], labels: Sequence[str], **settings: Any) -> Counter[str]:
    """Alarms in recordings of something else when all are heard one after the other, in an order that is drawn once.

    A recording of one second has one window, and alone could never raise what must be heard for longer. Each label
    may begin again as soon as it is over.
    """
    heard: list[tuple[float, Sounds]] = []
    playing: dict[float, str] = {}
    began = 0.0
    for i in np.random.default_rng(SEED).permutation(len(streams)):
        label, seconds, windows = streams[i]
        moved = [(began + at, sounds) for at, sounds in windows]
        playing |= {at: label for at, _ in moved}
        heard += moved
        began += seconds
    return Counter(label for at, label in begins(heard, labels, cooldown=0, **settings) if playing[at] != label)


def _synthesised(listener: Listener, noises: Sequence[Path]) -> dict[str, Any]:
    """Recall of T3 and T4 over noise that was held out, by the rule; the simulator's alarms, not the training's."""
    if not noises:
        return {"recall": None, "why": "no background among the files: nothing to mix the alarms with"}
    found: dict[str, Any] = {}
    for snr in SNRS:
        heard: Counter[str] = Counter()
        for i in each(range(ALARMS), f"alarms at {snr} dB"):
            for kind in ("t3", "t4"):
                for low in (True, False):
                    seed = SEED + i
                    tone = alarm("t3" if kind == "t3" else "t4", ALARM_S, seed, low=low)
                    mixed = at_snr(tone, _noise(noises, len(tone), seed), snr)
                    name = f"{kind} {'520 Hz' if low else '3.1 kHz'}"
                    heard[name] += SYNTHESISED in raised(list(listener.stream(mixed)), [SYNTHESISED])
        found[f"{snr} dB"] = {
            "recall": _share(sum(heard.values()), 4 * ALARMS),
            "of": 4 * ALARMS,
            "by_pattern": {name: _share(n, ALARMS) for name, n in sorted(heard.items())},
        }
    return found


def _noise(paths: Sequence[Path], samples: int, seed: int) -> Floats:
    """Recordings one after the other, as many as it takes."""
    rng = np.random.default_rng(seed)
    pieces: list[Floats] = []
    while sum(map(len, pieces)) < samples:
        piece = soundclips.read(paths[int(rng.integers(len(paths)))])
        pieces.append(piece / max(float(np.sqrt((piece**2).mean())), 1e-6))
    return np.concatenate(pieces)[:samples]


def at_snr(tone: Floats, noise: Floats, snr: float) -> Floats:
    """The sum at `snr` dB: power of the tone while it sounds over that of the noise; peak 0.5."""
    power = (tone[: len(tone) // 160 * 160].reshape(-1, 160) ** 2).mean(1)
    loud = float(power[power > power.max() / 10].mean())
    gain = math.sqrt(float((noise**2).mean()) / loud) * 10 ** (snr / 20)
    mixed = tone * gain + noise
    return np.asarray(mixed * 0.5 / np.abs(mixed).max(), np.float32)


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None


def _bound(count: int) -> float:
    """The 95 % upper bound of a Poisson mean when `count` were seen: 3.0 for none."""
    from scipy.stats import chi2

    return float(chi2.ppf(0.95, 2 * (count + 1)) / 2)
