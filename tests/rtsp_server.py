#!/usr/bin/python3
"""Serves clips over RTSP as IP cameras would: H.264 without re-encoding, looping, in real time.

Runs on the system's Python, which has GStreamer's bindings (python3-gi, gir1.2-gst-rtsp-server-1.0):

    /usr/bin/python3 tests/rtsp_server.py --mount /a=clip.mp4 --mount /b=other.mp4 [--user admin --password secret]
        [--talking]

Prints `ready PORT` once it listens. Commands on stdin, one a line:

    stall /a    send nothing more on /a, connections stay open
    resume /a   send again
    garble /a   damage every packet's payload from now on; resume ends it
    drop        close every connection
    quit        end; so does the end of stdin
"""

import argparse
import random
import sys
import threading

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstRtspServer", "1.0")
gi.require_version("GstApp", "1.0")
from gi.repository import GLib, Gst, GstRtspServer  # noqa: E402


class Clip:
    """The encoded pictures of a file: (bytes, pts, dts, duration) in ns, from 0, kept in memory."""

    def __init__(self, path):
        pipeline = Gst.parse_launch(
            f'filesrc location="{path}" ! qtdemux ! h264parse config-interval=-1 '
            "! video/x-h264,stream-format=byte-stream,alignment=au ! appsink name=out sync=false"
        )
        out = pipeline.get_by_name("out")
        pipeline.set_state(Gst.State.PLAYING)
        self.pictures = []
        while (sample := out.emit("pull-sample")) is not None:
            b = sample.get_buffer()
            self.caps = sample.get_caps()
            dts = b.dts if b.dts != Gst.CLOCK_TIME_NONE else b.pts
            self.pictures.append((b.extract_dup(0, b.get_size()), b.pts, dts, b.duration))
        pipeline.set_state(Gst.State.NULL)
        if not self.pictures:
            sys.exit(f"{path} holds no H.264 video")
        first = self.pictures[0][2]
        self.pictures = [(data, pts - first, dts - first, d) for data, pts, dts, d in self.pictures]
        last = self.pictures[-1]
        step = last[3] if last[3] != Gst.CLOCK_TIME_NONE else 40_000_000
        self.length = last[2] + step


TALK = "audiotestsrc is-live=true wave=ticks ! audio/x-raw,rate=8000,channels=1 ! alawenc ! rtppcmapay name=pay1 pt=8 "


class Camera(GstRtspServer.RTSPMediaFactory):
    """One mount point; all its clients see the same stream. talking: with G.711 sound, a tick every second."""

    def __init__(self, clip, talking):
        super().__init__()
        self.clip, self.mode = clip, "play"
        self.set_shared(True)
        self.set_launch(
            "( appsrc name=src is-live=true format=time do-timestamp=false block=false max-bytes=2000000 "
            "! identity sync=true ! h264parse ! rtph264pay name=pay0 pt=96 config-interval=1 "
            + (TALK if talking else "")
            + ")"
        )
        self.connect("media-configure", self.configure)

    def configure(self, _factory, media):
        source = media.get_element().get_by_name("src")
        source.set_property("caps", self.clip.caps)
        state = {"next": 0, "stalled": 0, "since": None}
        dice = random.Random(0)

        def need(source, _size):
            if self.mode == "stall":
                state["since"] = state["since"] or GLib.get_monotonic_time()
                GLib.timeout_add(50, lambda: need(source, 0) and False)
                return
            if state["since"]:
                state["stalled"] += 1000 * (GLib.get_monotonic_time() - state["since"])
                state["since"] = None
            turn, i = divmod(state["next"], len(self.clip.pictures))
            state["next"] += 1
            data, pts, dts, duration = self.clip.pictures[i]
            base = turn * self.clip.length + state["stalled"]
            buffer = Gst.Buffer.new_wrapped(damage(data, dice) if self.mode == "garble" else data)
            buffer.pts, buffer.dts, buffer.duration = pts + base, dts + base, duration
            source.emit("push-buffer", buffer)

        source.connect("need-data", need)


def damage(data, dice):
    """`data` with one byte in fifty changed, start codes and NAL headers included."""
    damaged = bytearray(data)
    for _ in range(max(3, len(damaged) // 50)):
        damaged[dice.randrange(len(damaged))] = dice.randrange(256)
    return bytes(damaged)


def build(args):
    """The server with its mounts and, where asked for, its one account."""
    server = GstRtspServer.RTSPServer()
    server.set_address(args.address)
    server.set_service(str(args.port))
    cameras = {}
    for mount in args.mount:
        name, _, path = mount.partition("=")
        cameras[name] = Camera(Clip(path), args.talking)
        server.get_mount_points().add_factory(name, cameras[name])
    if args.user:
        auth = GstRtspServer.RTSPAuth()
        auth.set_supported_methods(1)  # GST_RTSP_AUTH_BASIC
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "viewer")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(args.user, args.password), token)
        server.set_auth(auth)
        permissions = GstRtspServer.RTSPPermissions()
        permissions.add_permission_for_role("viewer", "media.factory.access", True)
        permissions.add_permission_for_role("viewer", "media.factory.construct", True)
        for camera in cameras.values():
            camera.set_permissions(permissions)
    server.attach(None)
    return server, cameras


def obey(server, cameras, loop):
    """Commands from stdin, until its end."""
    for line in sys.stdin:
        word, _, name = line.strip().partition(" ")
        if word == "quit":
            break
        if word == "drop":
            server.client_filter(lambda *_: GstRtspServer.RTSPFilterResult.REMOVE)
        elif word in ("stall", "garble"):
            cameras[name].mode = word
        elif word == "resume":
            cameras[name].mode = "play"
        print("done", line.strip(), flush=True)
    loop.quit()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mount", action="append", required=True, metavar="/NAME=CLIP")
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0: any free one")
    parser.add_argument("--user")
    parser.add_argument("--password", default="")
    parser.add_argument("--talking", action="store_true", help="with sound")
    args = parser.parse_args()
    Gst.init(None)
    server, cameras = build(args)
    loop = GLib.MainLoop()
    threading.Thread(target=obey, args=(server, cameras, loop), daemon=True).start()
    print("ready", server.get_bound_port(), flush=True)
    loop.run()


if __name__ == "__main__":
    main()
