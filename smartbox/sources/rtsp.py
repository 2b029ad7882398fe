"""An IP camera over RTSP, H.264 or H.265 (or whatever else FFmpeg decodes)."""

from typing import ClassVar, Literal

from smartbox.sources._network import NetworkSettings


class Plugin(NetworkSettings):
    """Reads a camera's RTSP stream."""

    schemes: ClassVar[tuple[str, ...]] = ("rtsp", "rtsps")

    transport: Literal["tcp", "udp"] = "tcp"
    """tcp: inside the RTSP connection, nothing is lost. udp: for cameras that offer no other; loses packets."""

    def options(self, sound: bool) -> dict[str, str]:
        return {
            "rtsp_transport": self.transport,
            "allowed_media_types": "video+audio" if sound else "video",
            "protocol_whitelist": "rtsp,rtsps,rtp,srtp,udp,tcp,tls",
            "timeout": str(int(self.timeout * 1e6)),  # µs a socket may be silent
        }
