"""A web server on loopback that answers as badly as a test wants."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

Route = Callable[[BaseHTTPRequestHandler], None]


class FaultyServer:
    """Routes by path; keeps the path and headers of every request."""

    def __init__(self) -> None:
        self.routes: dict[str, Route] = {}
        self.requests: list[tuple[str, Message]] = []
        self.stopping = threading.Event()
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                server.requests.append((self.path, self.headers))
                route = server.routes.get(self.path.partition("?")[0])
                if route is None:
                    answer(self, 404, b"no such thing")
                else:
                    route(self)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            block_on_close = False

            def handle_error(self, *_: object) -> None:
                pass

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def paths(self) -> list[str]:
        return [path for path, _ in self.requests]

    def drip(self, pieces: Iterator[bytes] | list[bytes], seconds: float) -> Route:
        """Send one piece every so many seconds until the test ends."""

        def route(handler: BaseHTTPRequestHandler) -> None:
            send_head(handler, 200, {"Content-Length": "100000"})
            for piece in pieces:
                handler.wfile.write(piece)
                handler.wfile.flush()
                if self.stopping.wait(seconds):
                    return

        return route

    def close(self) -> None:
        self.stopping.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def run_server() -> Iterator[FaultyServer]:
    server = FaultyServer()
    try:
        yield server
    finally:
        server.close()


def send_head(handler: BaseHTTPRequestHandler, status: int, headers: dict[str, str]) -> None:
    handler.send_response(status)
    for name, value in headers.items():
        handler.send_header(name, value)
    handler.end_headers()


def answer(handler: BaseHTTPRequestHandler, status: int, body: bytes, **headers: str) -> None:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    send_head(handler, status, {"Content-Length": str(len(body))} | named)
    handler.wfile.write(body)


def serve(body: bytes, *, etag: str = '"one"', ranges: bool = True, **headers: str) -> Route:
    """A file, with Range and If-Range as the standard has them."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        named = {"ETag": etag} | {name.replace("_", "-"): value for name, value in headers.items()}
        if ranges and asked and handler.headers.get("If-Range") == etag:
            begin = int(asked[1])
            if begin >= len(body):
                answer(handler, 416, b"", Content_Range=f"bytes */{len(body)}")
                return
            rest = body[begin:]
            named |= {"Content-Range": f"bytes {begin}-{len(body) - 1}/{len(body)}", "Content-Length": str(len(rest))}
            send_head(handler, 206, named)
            handler.wfile.write(rest)
            return
        send_head(handler, 200, named | {"Content-Length": str(len(body))})
        handler.wfile.write(body)

    return route


def reset_after(body: bytes, sent: int, *, etag: str = '"one"') -> Route:
    """Announce the whole file (or the rest asked for), send some of it, then reset the connection."""

    def route(handler: BaseHTTPRequestHandler) -> None:
        asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
        begin = int(asked[1]) if asked and handler.headers.get("If-Range") == etag else 0
        headers = {"ETag": etag, "Content-Length": str(len(body) - begin)}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(body) - 1}/{len(body)}"
        send_head(handler, 206 if begin else 200, headers)
        handler.wfile.write(body[begin : begin + sent])
        handler.wfile.flush()
        time.sleep(0.02)
        handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        handler.connection.close()
        handler.close_connection = True

    return route


def redirect(location: str, status: int = 302) -> Route:
    return lambda handler: answer(handler, status, b"", Location=location)


def in_turn(*routes: Route) -> Route:
    """The first request gets the first route, and so on; the last one stays."""
    waiting = list(routes)

    def route(handler: BaseHTTPRequestHandler) -> None:
        (waiting.pop(0) if len(waiting) > 1 else waiting[0])(handler)

    return route
