"""The part of a kubelet that an API server asks for the logs of containers."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from harness import run
from kubernetes_api import KubernetesApi

__all__ = ["running_kubelet"]


@contextmanager
def running_kubelet(folder: Path, api: KubernetesApi, name: str, logs: Mapping[str, str]) -> Iterator[None]:
    """A node whose kubelet answers logs.

    Arguments:
        folder: for its certificate.
        name: of the node.
        logs: ``NAMESPACE/POD/CONTAINER`` and the query after ``?`` → what was written.
    """

    class Logs(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            said = logs.get(self.path.removeprefix("/containerLogs/"))
            self.send_response(200 if said is not None else 404)
            self.end_headers()
            self.wfile.write((said or f"no log {self.path}").encode())

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    key, certificate = folder / "kubelet.key", folder / "kubelet.crt"
    made = ("-keyout", key, "-out", certificate, "-subj", "/CN=kubelet", "-nodes")
    run("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", *made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with ThreadingHTTPServer(("127.0.0.1", 0), Logs) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        serving = threading.Thread(target=server.serve_forever)
        serving.start()
        try:
            api.request("POST", "/api/v1/nodes", {"metadata": {"name": name}})
            port = {"kubeletEndpoint": {"Port": server.server_address[1]}}
            status = {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": port}
            path = f"/api/v1/nodes/{name}"
            api.request("PATCH", f"{path}/status", {"status": status}, kind="application/merge-patch+json")
            yield
            api.request("DELETE", path)
        finally:
            server.shutdown()
            serving.join()
