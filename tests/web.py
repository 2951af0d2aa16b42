"""A web server on this machine that serves bytes, or fails as told, and counts."""

import contextlib
import socket
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """What a server serves by path, and how often it was asked."""

    def __init__(self, url):
        self.url = url
        self.files, self.statuses, self.cut, self.slow = {}, {}, set(), set()
        self.hits = Counter()
        self.release = threading.Event()


@contextlib.contextmanager
def serving():
    """Serve on a free port of 127.0.0.1 until the block ends."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            path = self.path.lstrip("/")
            web.hits[path] += 1
            if path in web.slow:
                web.release.wait(20)
                return
            status = web.statuses.get(path, 200 if path in web.files else 404)
            body = web.files.get(path, b"no such file") if status == 200 else b"no such file"
            self.send_response(status)
            self.send_header("Content-Length", str(len(body) + 100 * (path in web.cut)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args):
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web = Web(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield web
    finally:
        web.release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def closed_port():
    """Return the address of a port at which nothing listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{held.getsockname()[1]}"
