"""A real HTTPS server that takes PUT and gives GET, and misbehaves when told to."""

import hashlib
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


class Storage:
    """`stored`: path -> content, the query included. `answer(path, nth)`: status for the nth try, 0 to cut the line."""

    def __init__(self, certificate: Path, key: Path, answer: Callable[[str, int], int] = lambda path, nth: 200) -> None:
        self.stored: dict[str, bytes] = {}
        self.tries: dict[str, int] = {}
        self.headers: dict[str, dict[str, str]] = {}
        self.files: dict[str, bytes] = {}
        storage = self

        class Handler(BaseHTTPRequestHandler):
            def do_PUT(self) -> None:
                storage.tries[self.path] = nth = storage.tries.get(self.path, 0) + 1
                status = answer(self.path, nth)
                length = int(self.headers["Content-Length"])
                body = self.rfile.read(length // 2 if status == 0 else length)
                if status == 0:
                    self.connection.close()
                    return
                storage.headers[self.path] = dict(self.headers)
                if status == 200:
                    storage.stored[self.path] = body
                self.send_response(status)
                self.send_header("ETag", f'"{hashlib.md5(body).hexdigest()}"')
                if status == 302:
                    self.send_header("Location", "/elsewhere")
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                storage.tries[self.path] = nth = storage.tries.get(self.path, 0) + 1
                content = storage.files[self.path]
                begin = int(self.headers.get("Range", "bytes=0-")[6:-1])
                self.send_response(206 if begin else 200)
                self.send_header("Content-Length", str(len(content) - begin))
                self.end_headers()
                cut = answer(self.path, nth) == 0
                self.wfile.write(content[begin : begin + 1000 if cut else None])
                self.close_connection = True

            def log_message(self, format: str, *args: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: object, client_address: object) -> None:
                pass

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self._server = Server(("127.0.0.1", 0), Handler)
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def url(self, path: str, host: str = "localhost") -> str:
        return f"https://{host}:{self.port}{path}"

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        with suppress(OSError):
            self._server.server_close()
