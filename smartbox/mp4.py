"""A cut as an MP4: the packets as they came; with privacy masks, the pictures encoded anew with the masks burnt in.

Written in memory: a clip is no larger than the tape. Sound that an MP4 cannot hold (G.711, G.726) becomes AAC.
"""

import io
from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from smartbox.errors import StorageError
from smartbox.overlay import cover
from smartbox.tape import Cut, Heard, Masks, Piece

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import OutputContainer
    from av.video.frame import VideoFrame
    from av.video.stream import VideoStream

ENCODERS = ("libx264", "libopenh264", "mpeg4")
"""Tried in order: what FFmpeg was built with differs. PyAV's wheels have the first; every FFmpeg has the last."""
FPS = 10.0
"""Pictures a second of a clip that is encoded anew, at most: whoever encodes is the box."""
_MS = Fraction(1, 1000)
_OPTIONS = {"libx264": {"preset": "superfast", "crf": "24"}, "mpeg4": {"qscale": "5"}}


def mp4(cut: Cut) -> bytes:
    """The file. StorageError where an MP4 cannot hold what the camera sends, or no encoder can be had."""
    import av  # FFmpeg is loaded by the sources that need it, and here only where there is a clip to write
    from av.error import FFmpegError

    file = io.BytesIO()
    origin = min(piece.dts * piece.time_base for piece in cut.pieces)
    try:
        with av.open(file, "w", format="mp4") as out:
            sound = _sound(out, cut.heard) if cut.heard and cut.sound else None
            if cut.masks:
                _encode(out, cut, origin)
            else:
                _copy(out, out.add_stream_from_template(cut.template), cut.pieces, origin)
            if sound and cut.heard and cut.heard.template:
                _copy(out, sound, cut.sound, origin)
            elif sound and cut.heard:
                _transcode(out, sound, cut.heard, cut.sound, origin)
    except (FFmpegError, ValueError) as error:
        raise StorageError(f"an MP4 cannot hold what the camera sends: {error}") from error
    return file.getvalue()


def _copy(out: "OutputContainer", stream: Any, pieces: Sequence[Piece], origin: Fraction) -> None:
    """Packets as they came, from `origin` (s) on."""
    last: int | None = None
    for piece in pieces:
        zero = round(origin / piece.time_base)
        if piece.dts < zero:  # sound of before the first picture
            continue
        dts = piece.dts - zero if last is None else max(piece.dts - zero, last + 1)  # cameras stumble
        packet = _packet(piece)
        packet.stream = stream
        packet.dts, packet.pts, last = dts, max(dts, piece.pts - zero), dts
        out.mux(packet)


def _packet(piece: Piece) -> Any:
    import av

    packet = av.Packet(piece.data)
    packet.time_base, packet.is_keyframe = piece.time_base, piece.key
    return packet


def _encode(out: "OutputContainer", cut: Cut, origin: Fraction) -> None:
    """The pictures, upright and with the masks burnt in, at most FPS a second."""
    if len(cut.turns) != 1:
        why = "changes" if cut.turns else "is not known yet"
        raise StorageError(f"the rotation of the pictures {why}, and without that they cannot be masked")
    (turns,) = cut.turns
    stream: VideoStream | None = None
    due, last = Fraction(0), -1
    for picture in _pictures(cut):
        time = Fraction(picture.pts or 0) * (picture.time_base or _MS) - origin
        if time < due:
            continue
        due = max(due + Fraction(1 / FPS).limit_denominator(1000), time)
        made = _masked(picture, turns, cut.masks)
        if stream is None:
            stream = _video(out, made)
        last = max(last + 1, round(time / _MS))
        made.pts, made.time_base = last, _MS
        out.mux(stream.encode(made))
    if stream is None:
        raise StorageError("none of the pictures can be decoded, and without that they cannot be masked")
    out.mux(stream.encode(None))


def _pictures(cut: Cut) -> Iterator["VideoFrame"]:
    """Decoded; what is damaged is left out."""
    import av
    from av.error import InvalidDataError

    sent = cut.template.codec_context
    decoder: Any = av.CodecContext.create(sent.codec.canonical_name, "r")
    if sent.extradata:
        decoder.extradata = sent.extradata
    decoder.thread_count = 1  # beside the watching, not instead of it
    for piece in (*cut.pieces, None):
        packet = None
        if piece is not None:
            packet = _packet(piece)
            packet.dts, packet.pts = piece.dts, piece.pts
        try:
            pictures = decoder.decode(packet)
        except InvalidDataError:
            continue
        for picture in pictures:
            if picture.pts is not None and not picture.is_corrupt:
                picture.time_base = cut.pieces[0].time_base
                yield picture


def _video(out: "OutputContainer", picture: "VideoFrame") -> "VideoStream":
    import av

    name = next((name for name in ENCODERS if name in av.codecs_available), None)
    if name is None:
        raise StorageError(f"FFmpeg has none of the encoders {', '.join(ENCODERS)}")
    stream: Any = out.add_stream(name, rate=round(FPS), options=_OPTIONS.get(name, {}))
    stream.width, stream.height = picture.width, picture.height
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = _MS
    stream.codec_context.thread_count = 1
    return stream  # type: ignore[no-any-return]


def _masked(picture: "VideoFrame", turns: int, masks: Masks) -> "VideoFrame":
    """Upright, for that is how masks are drawn; of even width and height."""
    import av

    array: Any = picture.to_ndarray(format="bgr24")
    shown = cover(np.ascontiguousarray(np.rot90(array, turns)), masks)
    even = shown[: shown.shape[0] // 2 * 2, : shown.shape[1] // 2 * 2]
    return av.VideoFrame.from_ndarray(even, format="bgr24")


def _sound(out: "OutputContainer", heard: Heard) -> "AudioStream":
    if heard.template is not None:
        return out.add_stream_from_template(heard.template)  # type: ignore[no-any-return]
    stream: Any = out.add_stream("aac", rate=heard.rate)
    stream.layout = heard.layout
    return stream  # type: ignore[no-any-return]


def _transcode(out: "OutputContainer", stream: Any, heard: Heard, pieces: Sequence[Piece], origin: Fraction) -> None:
    """Decode and encode as AAC; a gap between packets is a gap in the file, time that steps back is none."""
    import av
    from av.error import InvalidDataError

    decoder: Any = av.CodecContext.create(heard.codec, "r")
    decoder.sample_rate, decoder.layout = heard.rate, heard.layout
    resampler = av.AudioResampler(format="fltp", layout=heard.layout, rate=heard.rate)
    next_at = 0
    for piece in pieces:
        at = round((piece.pts * piece.time_base - origin) * heard.rate)
        if at < 0:  # sound of before the first picture
            continue
        at = max(at, next_at)
        try:
            sounds = decoder.decode(_packet(piece))
        except InvalidDataError:
            continue
        for sound in sounds:
            sound.pts, sound.time_base = at, Fraction(1, heard.rate)
            at += sound.samples
            for even in resampler.resample(sound):
                out.mux(stream.encode(even))
        next_at = at
    out.mux(stream.encode(None))
