"""The shop's front: business code alone. Routing, access log and metrics are the sidecar's."""

from __future__ import annotations

import json
import os
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

sys.path.insert(0, os.environ.get("PIPEGRAFT_MOUNT_PRICING", "/opt/components/pricing"))
import pricing  # the in-process component, mounted beside this one

VERSION = "v1"
CATALOGUE = {"tea": 450, "cup": 1200, "pot": 3900}


class Shop(BaseHTTPRequestHandler):
    """GET / and GET /price?item=…&quantity=…"""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: sent apart, the second waits 40 ms for an acknowledgement

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            self.answer(200, {"app": "shop", "version": VERSION, "pricing": pricing.VERSION})
        elif url.path == "/price":
            self.price(parse_qs(url.query))
        else:
            self.answer(404, {"error": f"no such page: {url.path}"})

    def price(self, query: dict[str, list[str]]) -> None:
        item = query.get("item", [""])[0]
        quantity = query.get("quantity", ["1"])[0]
        if item not in CATALOGUE or not quantity.isdecimal():
            self.answer(400, {"error": f"expected an item of {sorted(CATALOGUE)} and a whole quantity"})
            return
        cents = pricing.total(CATALOGUE[item], int(quantity))
        self.answer(200, {"item": item, "quantity": int(quantity), "cents": cents, "version": VERSION})

    def answer(self, status: int, body: dict[str, object]) -> None:
        content = json.dumps(body).encode() + b"\n"
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the sidecar writes the access log
        pass


if __name__ == "__main__":
    address = ("127.0.0.1", int(os.environ.get("PIPEGRAFT_PORT_WEB", "8080")))
    ThreadingHTTPServer(address, Shop).serve_forever()
