"""Writes an offline HTML page with one live frame of a source, to click zones on and copy their YAML."""

import argparse
import base64
import json
import threading
from pathlib import Path
from typing import Any

import cv2

from smartbox import config as configuration
from smartbox.clock import SystemClock
from smartbox.commands._args import UsageError
from smartbox.config import Config
from smartbox.errors import SmartboxError, SourceError
from smartbox.geometry import Zone
from smartbox.overlay import cover
from smartbox.types import Frame, Image

EXAMPLE = "smartbox zones -c /etc/smartbox/smartbox.yaml gate -o zones.html"
TEMPLATE = Path(__file__).with_name("zones.html")
SETTLE_S = 1.0  # a camera's first pictures are often too dark or grey
WIDEST = 1920  # px of the page's picture


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-c", "--config", type=Path, metavar="FILE", required=True, help="the configuration")
    parser.add_argument("source", metavar="SOURCE", help="whose picture")
    parser.add_argument(
        "-o", "--output", type=Path, metavar="HTML", default=Path("zones.html"), help="default: zones.html"
    )


def main(args: argparse.Namespace) -> int:
    config = configuration.load(args.config)
    if args.source not in config.sources:
        known = ", ".join(config.sources) or "none"
        raise UsageError(f"{args.config} has no source {args.source!r}; it has {known}")
    picture = cover(look(config, args.source).image, config.sources[args.source].masks)
    try:
        args.output.write_text(page(config, args.source, picture), encoding="utf-8")
    except OSError as error:
        raise SmartboxError(f"{args.output} cannot be written: {error.strerror}") from error
    print(f"{args.output}: open it in any browser (it needs no network), draw, copy the YAML into {args.config}")
    return 0


def look(config: Config, source: str) -> Frame:
    """A picture of the source, taken when it has settled; SourceError when there is none."""
    stop, frame, first = threading.Event(), None, None
    for sample in config.sources[source].read(source, SystemClock(), stop):
        if isinstance(sample, Frame):
            frame, first = sample, first or sample
            if frame.time - first.time >= SETTLE_S:
                break
        elif first is None and sample.seq > 20:
            break  # a microphone
    if frame is None:
        raise SourceError(f"{source}: delivers no picture to draw on")
    return frame


def page(config: Config, source: str, image: Image) -> str:
    """The whole page: picture, zones and script inside, nothing loaded from elsewhere."""
    height, width = image.shape[:2]
    if width > WIDEST:
        image = cv2.resize(image, (WIDEST, round(height * WIDEST / width)), interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    ok, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])
    assert ok  # of an 8-bit BGR picture in memory
    data = {
        "source": source,
        "file": config.path.name,
        "width": image.shape[1],
        "height": image.shape[0],
        "image": "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode(),
        "zones": [_plain(zone) for zone in config.zones.values() if zone.source == source],
        "others": [{**_plain(zone), "source": zone.source} for zone in config.zones.values() if zone.source != source],
    }
    script = TEMPLATE.with_suffix(".js").read_text(encoding="utf-8")
    html = TEMPLATE.read_text(encoding="utf-8").replace("/*SCRIPT*/", script)
    return html.replace("/*DATA*/", json.dumps(data).replace("<", "\\u003c"))  # no </script> can stand inside


def _plain(zone: Zone) -> dict[str, Any]:
    """A zone as the page's script keeps it."""
    if zone.slots:
        kind, shapes = "slots", [{"name": name, "points": points} for name, points in zone.slots.items()]
    else:
        kind, points = ("line", zone.line) if zone.line else ("polygon", zone.polygon)
        shapes = [{"name": "", "points": points}]
    return {"id": zone.id, "kind": kind, "shapes": shapes}
