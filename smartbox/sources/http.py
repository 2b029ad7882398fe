"""An IP camera over HTTP: MJPEG, FLV, MPEG-TS or any other stream that FFmpeg recognizes."""

from typing import ClassVar

from smartbox.sources._network import NetworkSettings


class Plugin(NetworkSettings):
    """Reads a camera's HTTP stream."""

    schemes: ClassVar[tuple[str, ...]] = ("http", "https")

    def options(self, sound: bool) -> dict[str, str]:  # noqa: ARG002
        return {
            "protocol_whitelist": "http,https,httpproxy,tcp,tls,crypto",
            "rw_timeout": str(int(self.timeout * 1e6)),  # µs a socket may be silent
            "user_agent": "smartbox",
        }
