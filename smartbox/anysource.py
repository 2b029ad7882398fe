"""One camera or clip named on the command line, watched by the configuration beside this file."""

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smartbox import config
from smartbox.errors import SourceError

TEMPLATE = Path(__file__).with_name("any_source.yaml")


def settings(where: str) -> dict[str, Any]:
    """A camera's URL, a video device or a media file -> settings of a source that plays it."""
    scheme = urlsplit(where).scheme
    if scheme in ("rtsp", "rtsps"):
        return {"type": "rtsp", "url": where}
    if scheme in ("http", "https"):
        return {"type": "http", "url": where}
    if where.startswith("/dev/") or where.isdecimal():
        return {"type": "v4l2", "device": int(where) if where.isdecimal() else where}
    path = Path(where)
    if not path.is_file():
        what = "is a directory" if path.is_dir() else "no such file"
        raise SourceError(f"--source {where}: {what}; give rtsp://…, http://…, /dev/video0 or a media file")
    return {"type": "file", "path": where}


def load(where: str) -> config.Config:
    """The trial configuration with its one source replaced."""
    return config.load(TEMPLATE, {"input": {**settings(where), "model": "eyes"}})
