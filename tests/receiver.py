"""An HTTP server that a test runs: it keeps what is posted, and answers as it is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Receiver:
    """A context manager on a free port.

    statuses: one for each post, the last for ever. answer: makes the body of a 200. longest: a body of more bytes is
    answered 413, whatever statuses say. location: that of a redirect.
    """

    def __init__(
        self,
        *statuses: int,
        answer: Callable[[bytes], bytes] = lambda _body: b"",
        longest: int = 1 << 30,
        location: str = "/elsewhere",
    ) -> None:
        self.posts: list[tuple[dict[str, str], bytes]] = []
        self.statuses = list(statuses) or [200]
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.posts.append((dict(self.headers), body))
                if len(body) > longest:
                    status = 413
                else:
                    status = receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0]
                said = answer(body) if status == 200 else b""
                self.send_response(status)
                self.send_header("Location", location)
                self.send_header("Content-Length", str(len(said)))
                self.end_headers()
                self.wfile.write(said)

            def log_message(self, format: str, *args: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = False
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/paygo"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})

    def __enter__(self) -> Receiver:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
