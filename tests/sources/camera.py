"""HTTP cameras for the tests: MJPEG, or any bytes, over a real http.server."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2

from .media import picture


class HttpCamera:
    """What the camera does next; tests change it while it serves."""

    def __init__(
        self, body: bytes = b"", mime: str = "multipart/x-mixed-replace;boundary=frame", seconds: float = 0.0
    ) -> None:
        self.body, self.mime, self.seconds = body, mime, seconds  # the body is sent evenly over so long
        self.account = ""
        self.silent = threading.Event()
        self.gone = threading.Event()
        self.port = 0
        self.seen: list[str] = []  # request paths

    def url(self, path: str = "/video", account: str = "") -> str:
        return f"http://{account + '@' if account else ''}127.0.0.1:{self.port}{path}"


class _Handler(BaseHTTPRequestHandler):
    camera: HttpCamera

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        camera = self.camera
        camera.seen.append(self.path)
        wanted = "Basic " + base64.b64encode(camera.account.encode()).decode()
        if camera.account and self.headers.get("Authorization") != wanted:
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="camera"')
            self.end_headers()
            return
        self.send_response(200 if self.path != "/nope" else 404)
        self.send_header("Content-Type", camera.mime)
        self.end_headers()
        try:
            if camera.body:
                self._body()
                camera.gone.wait(20)
            else:
                self._mjpeg()
        except (BrokenPipeError, ConnectionResetError):
            pass

    def _body(self) -> None:
        pieces = max(1, round(self.camera.seconds / 0.04))
        size = -(-len(self.camera.body) // pieces)
        for i in range(pieces):
            self.wfile.write(self.camera.body[i * size : (i + 1) * size])
            self.wfile.flush()
            self.camera.gone.wait(0.04 if pieces > 1 else 0)

    def _mjpeg(self) -> None:
        i = 0
        while not self.camera.gone.wait(0.05):
            if self.camera.silent.is_set():
                continue
            jpeg = cv2.imencode(".jpg", picture(i))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
            self.wfile.write(head.encode() + jpeg + b"\r\n")
            self.wfile.flush()
            i += 1


@contextmanager
def serving(camera: HttpCamera) -> Iterator[HttpCamera]:
    """The camera on a free port of loopback."""
    handler = type("Handler", (_Handler,), {"camera": camera})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    camera.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield camera
    finally:
        camera.gone.set()
        server.shutdown()
        server.server_close()
        thread.join(5)
