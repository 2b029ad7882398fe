"""Where a reader leaves samples for the inference worker: the latest frame wins, sound is a short ring."""

import threading
from collections import deque

from smartbox.types import AudioChunk, Frame, Sample

CHUNKS = 20


class Mailboxes:
    """One slot for a frame and a short ring of sound per source, with one bell for all of them."""

    def __init__(self, sources: list[str]) -> None:
        self._bell = threading.Condition()
        self._frames: dict[str, Frame] = {}
        self._chunks: dict[str, deque[AudioChunk]] = {source: deque(maxlen=CHUNKS) for source in sources}
        self._turn = list(sources)
        self.received = dict.fromkeys(sources, 0)
        self.replaced = dict.fromkeys(sources, 0)

    def put(self, sample: Sample) -> None:
        """Leave a sample; a frame that nobody fetched yet is replaced and counted."""
        with self._bell:
            source = sample.source
            self.received[source] += 1
            if isinstance(sample, AudioChunk):
                ring = self._chunks[source]
                self.replaced[source] += len(ring) == ring.maxlen
                ring.append(sample)
            else:
                self.replaced[source] += source in self._frames
                self._frames[source] = sample
            self._bell.notify()

    def take(self, limit: int, timeout: float) -> list[Sample]:
        """Up to `limit` sources' waiting samples, at most one frame each; waits `timeout` s for the first.

        Sources take turns: who was served last comes last, so that a busy one cannot starve the others.
        """
        with self._bell:
            self._bell.wait_for(self._waiting, timeout)
            taken: list[Sample] = []
            for source in list(self._turn):
                if len(taken) >= limit:
                    break
                mine: list[Sample] = list(self._chunks[source])
                self._chunks[source].clear()
                if frame := self._frames.pop(source, None):
                    mine.append(frame)
                if mine:
                    taken += sorted(mine, key=lambda sample: sample.time)
                    self._turn.remove(source)
                    self._turn.append(source)
            return taken

    def ring(self) -> None:
        """Wake the taker, as when stopping."""
        with self._bell:
            self._bell.notify_all()

    def _waiting(self) -> bool:
        return bool(self._frames) or any(self._chunks.values())
