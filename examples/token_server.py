"""Tokens over HTTP: POST /tokens with a serial, days and the payment's number. Any number of these may run at once.

    PAYGO_REGISTRY=fleet.db python examples/token_server.py 8080
    curl -d '{"serial": "SLT220000001", "days": 7, "payment": "QK7"}' http://127.0.0.1:8080/tokens

It listens on this machine only: put something that checks who asks in front of it.
"""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from paygo_core import PaygoError
from paygo_core.registry import Registry, RegistryUnavailableError

LARGEST_REQUEST = 10_000


class TokenHandler(BaseHTTPRequestHandler):
    """One request. The registry is shared by all threads."""

    registry: Registry
    timeout = 30

    def do_POST(self) -> None:
        """Answers 200 with the tokens, 400 with what is wrong, 503 when it is worth trying again."""
        try:
            wanted = self._wanted()
            tokens = self.registry.issue_time(
                wanted["serial"], days=wanted["days"], reference=wanted["payment"], issued_by="token server"
            )
        except RegistryUnavailableError as problem:
            self._answer(503, {"error": problem.cause, "hint": problem.hint})
        except PaygoError as problem:
            self._answer(400, {"error": problem.cause, "hint": problem.hint})
        else:
            self._answer(200, {"tokens": [token.grouped() for token in tokens]})

    def _wanted(self) -> dict[str, str]:
        right = 'send {"serial": "SLT220000001", "days": 7, "payment": "QK7"}'
        size = self.headers.get("Content-Length", "")
        if self.path != "/tokens" or not size.isdecimal() or int(size) > LARGEST_REQUEST:
            raise PaygoError("this is no order", f"POST to /tokens; {right}")
        try:
            wanted = json.loads(self.rfile.read(int(size)))
        except ValueError:
            raise PaygoError("the order is no JSON", right) from None
        kinds = {"serial": str, "days": (int, float), "payment": str}
        if not isinstance(wanted, dict) or not all(isinstance(wanted.get(name), kind) for name, kind in kinds.items()):
            raise PaygoError("the order lacks a part", right)
        if not wanted["payment"]:
            raise PaygoError("the payment has no number", "without one it could be carried out twice")
        return wanted

    def _answer(self, status: int, answer: dict[str, object]) -> None:
        body = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing: a request holds what a customer paid."""


def main() -> None:
    """Serves until Ctrl-C, and says on which port."""
    key_file = os.environ.get("PAYGO_REGISTRY_KEY_FILE")
    with Registry.open(os.environ.get("PAYGO_REGISTRY", "paygo.db"), create=False, key_file=key_file) as registry:
        TokenHandler.registry = registry
        with ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), TokenHandler) as server:
            print(server.server_port, flush=True)
            server.serve_forever()


if __name__ == "__main__":
    main()
