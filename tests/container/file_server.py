"""Serves the demo's folder slowly, with ranges, in a container of its own: with /tls there, over TLS.

It runs inside an image of the service, with Python's standard library alone.
"""

import re
import ssl
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

FOLDER = Path("/src/weights/tiny")
TLS = Path("/tls")
BLOCK, PAUSE = 1 << 16, 0.2  # bytes, and seconds after each: 7.5 MB over eight connections take 3 s


class Slow(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = FOLDER / self.path.lstrip("/")
        if not path.is_file():
            self.send_response(404)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = path.read_bytes()
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = int(asked[2]) + 1 if asked and asked[2] else len(content)
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{end - 1}/{len(content)}")
        self.send_header("Content-Length", str(end - start))
        self.send_header("ETag", '"one"')
        self.end_headers()
        for at in range(start, end, BLOCK):
            self.wfile.write(content[at : min(at + BLOCK, end)])
            time.sleep(PAUSE)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("", 8000), Slow)
    if TLS.exists():
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(TLS / "cert.pem", TLS / "key.pem")
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print("listening", flush=True)
    server.serve_forever()
