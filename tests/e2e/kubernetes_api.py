"""A real Kubernetes API server: etcd and kube-apiserver on the loopback, with no controller behind them.

What a controller would do, a test plays itself through `KubernetesApi.kubectl` or a client of its own.
"""

from __future__ import annotations

import itertools
import json
import os
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml
from harness import free_port, listens, missing, need, run, server, wait_until

__all__ = ["KubernetesApi", "running_api"]

ADMIN = "admin-token"
_HERE = Path(__file__).parent
_SCHEMAS = Path(os.environ.get("PIPEGRAFT_SCHEMAS", _HERE.parents[2] / "shared" / "schemas"))
_EC_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
_AUDIT = {
    "apiVersion": "audit.k8s.io/v1",
    "kind": "Policy",
    "omitStages": ["RequestReceived"],
    "rules": [
        {"level": "None", "users": ["admin", "system:apiserver"]},
        {"level": "Metadata"},
    ],
}


@dataclass
class KubernetesApi:
    """A running API server.

    Arguments:
        folder: holds its certificates, data and logs.
        url: of the server.
        kubeconfig: file of a user who may do everything.
        crds: kinds that custom resource definitions were installed for.
    """

    folder: Path
    url: str
    kubeconfig: Path
    program: Path
    command: Sequence[str]
    crds: frozenset[str] = frozenset()
    _process: subprocess.Popen[bytes] | None = None
    _running: ExitStack = field(default_factory=ExitStack)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def kubectl(self, *words: str, given: Any = None, kubeconfig: Path | None = None) -> str:
        """Run kubectl as the administrator, or as somebody else; its failure fails the test.

        Arguments:
            given: what it reads from its standard input: objects as JSON values, for ``-f -``.
        """
        done = self.kubectl_process(*words, given=given, kubeconfig=kubeconfig)
        assert done.returncode == 0, f"kubectl {words}: {done.stdout}{done.stderr}"
        return done.stdout

    def kubectl_process(
        self, *words: str, given: Any = None, kubeconfig: Path | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run kubectl and answer how it ended."""
        text = json.dumps(_listed(given)) if given is not None else None
        return subprocess.run(
            [
                str(self.program.with_name("kubectl")),
                "--kubeconfig",
                str(kubeconfig or self.kubeconfig),
                *words,
            ],
            input=text,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env={"HOME": str(self.folder), "PATH": os.environ["PATH"]},
        )

    def namespace(self, prefix: str = "test") -> str:
        """A new, empty namespace."""
        name = f"{prefix}-{next(self._numbers)}"
        self.request("POST", "/api/v1/namespaces", {"metadata": {"name": name}})
        return name

    def apply(self, *objects: Mapping[str, Any]) -> None:
        """Create or update objects."""
        self.kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", given=list(objects))

    def request(
        self, method: str, path: str, body: Any = None, *, token: str = ADMIN, kind: str = "application/json"
    ) -> Any:
        """One request, past every client, for tests that play a controller; answers its JSON value.

        Arguments:
            kind: media type of the body, as ``application/merge-patch+json``.
        """
        asked = urllib.request.Request(
            self.url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": kind},
        )
        try:
            with urllib.request.urlopen(asked, context=self._trust(), timeout=30) as answer:
                return json.loads(answer.read())
        except urllib.error.HTTPError as error:
            pytest.fail(f"{method} {path}: {error.code}: {error.read().decode(errors='replace')}")

    def watch(self, path: str) -> Iterator[Any]:
        """Events of a collection, past every client."""
        asked = urllib.request.Request(
            f"{self.url}{path}?watch=true", headers={"Authorization": f"Bearer {ADMIN}"}
        )
        with urllib.request.urlopen(asked, context=self._trust(), timeout=3600) as answer:
            for line in answer:
                yield json.loads(line)

    def user(self, namespace: str, name: str, *manifests: Mapping[str, Any]) -> Path:
        """Make a service account, with RBAC objects applied beside it; answers a kubeconfig of it."""
        account = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": name, "namespace": namespace},
        }
        self.apply(account, *manifests)
        token = self.kubectl("create", "token", name, "--namespace", namespace).strip()
        return self.write_kubeconfig(f"{namespace}-{name}", {"token": token}, namespace)

    def write_kubeconfig(self, name: str, user: Mapping[str, Any], namespace: str = "default") -> Path:
        """A kubeconfig for this server with the given `user` entry."""
        file = self.folder / f"{name}.kubeconfig"
        cluster = {"server": self.url, "certificate-authority": str(self._ca)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": "test", "cluster": cluster}],
            "users": [{"name": name, "user": dict(user)}],
            "contexts": [
                {"name": name, "context": {"cluster": "test", "user": name, "namespace": namespace}}
            ],
            "current-context": name,
        }
        file.write_text(yaml.safe_dump(config))
        return file

    def certificate_user(self, name: str, group: str) -> Path:
        """A kubeconfig of a user who proves who they are by a client certificate."""
        key, request, certificate = (self.folder / f"{name}.{part}" for part in ("key", "csr", "crt"))
        subject, authority = ("-subj", f"/O={group}/CN={name}"), self.folder / "client-ca"
        signer = ("-CA", f"{authority}.crt", "-CAkey", f"{authority}.key", "-CAcreateserial")
        run("openssl", "req", *_EC_KEY, *subject, "-keyout", key, "-out", request)
        run("openssl", "x509", "-req", "-in", request, *signer, "-out", certificate)
        return self.write_kubeconfig(name, {"client-certificate": str(certificate), "client-key": str(key)})

    def audited(self, user: str) -> list[Mapping[str, Any]]:
        """What a user asked for so far, as audit events; ``system:serviceaccount:NAMESPACE:NAME``."""
        lines = (self.folder / "audit.log").read_text().splitlines()
        events = [json.loads(line) for line in lines if line.endswith("}")]
        return [event for event in events if event["user"].get("username") == user]

    def start(self) -> None:
        """Start the server and wait until it is ready."""
        log = self.folder / "kube-apiserver.log"
        self._process = self._running.enter_context(server(list(self.command), log, self._is_ready))

    def stop(self) -> None:
        """End the server at once, as a crash would; what it stored stays in etcd."""
        if self._process:
            self._process.kill()
        self._running.close()

    @property
    def _ca(self) -> Path:
        return self.folder / "serving" / "apiserver.crt"  # the certificate and the authority it made for it

    def _trust(self) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=str(self._ca))

    def _is_ready(self) -> bool:
        try:
            asked = urllib.request.Request(f"{self.url}/readyz", headers={"Authorization": f"Bearer {ADMIN}"})
            with urllib.request.urlopen(asked, context=self._trust(), timeout=60) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False


def _listed(given: Any) -> Any:
    return {"apiVersion": "v1", "kind": "List", "items": given} if isinstance(given, list) else given


@contextmanager
def running_api(folder: Path) -> Iterator[KubernetesApi]:
    """etcd and an API server with RBAC, service accounts and the custom resource definitions at hand."""
    need("etcd", "openssl")
    program = Path(run(_HERE / "kube-apiserver" / "folder").strip()) / "kube-apiserver"
    if not program.exists():
        missing("kube-apiserver")
    etcd_port, peer_port, port = free_port(), free_port(), free_port()
    data = folder / "etcd"
    etcd = [
        "etcd", f"--data-dir={data}", f"--listen-client-urls=http://127.0.0.1:{etcd_port}",
        f"--advertise-client-urls=http://127.0.0.1:{etcd_port}",
        f"--listen-peer-urls=http://127.0.0.1:{peer_port}",
    ]  # fmt: skip
    key = folder / "accounts.key"
    run("openssl", "genrsa", "-out", key, "2048")
    authority = folder / "client-ca"
    made = ("-keyout", f"{authority}.key", "-out", f"{authority}.crt")
    run("openssl", "req", "-x509", *_EC_KEY, "-subj", "/CN=clients", *made)
    (folder / "tokens.csv").write_text(f'{ADMIN},admin,admin,"system:masters"\n')
    (folder / "audit.yaml").write_text(yaml.safe_dump(_AUDIT))
    api = KubernetesApi(
        folder,
        f"https://127.0.0.1:{port}",
        folder / "admin.kubeconfig",
        program,
        [
            str(program), f"--etcd-servers=http://127.0.0.1:{etcd_port}",
            "--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", f"--secure-port={port}",
            f"--cert-dir={folder}/serving", f"--token-auth-file={folder}/tokens.csv",
            f"--client-ca-file={authority}.crt", "--authorization-mode=RBAC",
            "--service-cluster-ip-range=10.0.0.0/24",
            # Lists by watch need what Debian's etcd does not have.
            "--feature-gates=WatchList=false",
            "--service-account-issuer=https://kubernetes.default.svc",
            f"--service-account-key-file={key}", f"--service-account-signing-key-file={key}",
            # Nobody makes the account `default` of a namespace here, which pods would need.
            "--disable-admission-plugins=ServiceAccount",
            f"--audit-policy-file={folder}/audit.yaml", f"--audit-log-path={folder}/audit.log",
        ],
    )  # fmt: skip
    with server(etcd, folder / "etcd.log", lambda: listens(etcd_port)):
        try:
            api.start()
            api.write_kubeconfig("admin", {"token": ADMIN})
            api.crds = _install_definitions(api)
            yield api
        finally:
            api.stop()
            shutil.rmtree(data, ignore_errors=True)


def _install_definitions(api: KubernetesApi) -> frozenset[str]:
    """Install every custom resource definition of the schemas folder; answers their kinds."""
    if not _SCHEMAS.is_dir():
        return frozenset()
    definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
    made = []
    for file in sorted(_SCHEMAS.glob("*-crd.yaml")):
        for entry in filter(None, yaml.load_all(file.read_text(), yaml.CSafeLoader)):
            entry.pop("status", None)
            made.append(api.request("POST", definitions, entry))

    def is_served(name: str) -> bool:
        conditions = api.request("GET", f"{definitions}/{name}").get("status", {}).get("conditions", ())
        return any(entry["type"] == "Established" and entry["status"] == "True" for entry in conditions)

    for entry in made:
        name = entry["metadata"]["name"]
        wait_until(lambda name=name: is_served(name), f"definition {name} to be served")  # type: ignore[misc]
    return frozenset(entry["spec"]["names"]["kind"] for entry in made)
