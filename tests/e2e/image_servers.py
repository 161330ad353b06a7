"""Registries and a container engine for the end-to-end tests of images."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness import free_port, listens, missing, need, run, server

from pipegraft.images.adapters.registry.endpoint import Credentials, Endpoint, Keyring

USER = Credentials("user", "secret")
_HTPASSWD = "user:$2b$05$pwo6KOmb4Ir9cEc4vA/k3.2zaHKSUEac6Ng5NgJmxjBZ//rqOFZuu\n"


@dataclass(frozen=True)
class RunningRegistry:
    """A registry on the loopback."""

    endpoint: Endpoint
    skopeo: tuple[str, ...]

    @property
    def name(self) -> str:
        return self.endpoint.name


@contextmanager
def running_registry(
    folder: Path, *, secured: bool = False, program: str | Path = "docker-registry"
) -> Iterator[RunningRegistry]:
    """A registry; a secured one has TLS by an authority of its own, and asks for a password.

    Arguments:
        program: Debian's docker-registry, or a newer one of the same project.
    """
    need(*([program] if isinstance(program, str) else ()), "openssl")
    folder.mkdir(exist_ok=True)
    port = free_port()
    lines = [
        "version: 0.1",
        "log: {level: warn}",
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}, delete: {{enabled: true}}}}",
        f"http: {{addr: '127.0.0.1:{port}', secret: made-up}}",
    ]
    endpoint = Endpoint(f"127.0.0.1:{port}", ("https", "http"))
    skopeo: tuple[str, ...] = ("--tls-verify=false",)
    if secured:
        ca, certificate, key = _certificate(folder)
        (folder / "htpasswd").write_text(_HTPASSWD)
        lines[-1] = lines[-1][:-1] + f", tls: {{certificate: {certificate}, key: {key}}}}}"
        lines.append(f"auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}")
        endpoint = Endpoint(endpoint.name, ("https",), ca=ca, keyring=Keyring(USER))
        skopeo = (f"--cert-dir={ca.parent}", f"--creds={USER.user}:{USER.password}")
    (folder / "config.yml").write_text("\n".join(lines))
    command = [str(program), "serve", str(folder / "config.yml")]
    with server(command, folder / "log", lambda: listens(port)):
        yield RunningRegistry(endpoint, skopeo)


def _certificate(folder: Path) -> tuple[Path, Path, Path]:
    ca = folder / "ca"
    ca.mkdir()
    subject = ["-subj", "/CN=test authority"]
    new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    run("openssl", "req", "-x509", *new_key, *subject, "-keyout", ca / "ca.key", "-out", ca / "ca.crt")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    request, key, certificate = folder / "request", folder / "key.pem", folder / "certificate.pem"
    run("openssl", "req", *new_key, "-subj", "/CN=registry", "-keyout", key, "-out", request)
    run(
        "openssl", "x509", "-req", "-in", request, "-CA", ca / "ca.crt", "-CAkey", ca / "ca.key",
        "-CAcreateserial", "-extfile", folder / "names", "-out", certificate,
    )  # fmt: skip
    (ca / "ca.key").unlink()
    return ca / "ca.crt", certificate, key


@contextmanager
def running_engine(addresses: str = "base=10.213.0.0/16,size=24") -> Iterator[str]:
    """A Docker Engine of its own on a private socket; its address as ``unix://…``.

    Arguments:
        addresses: where its networks come from.

    A bridge lives in the kernel and outlives the engine
    that made it, so containers and networks are removed before the engine ends.
    """
    need("dockerd", "containerd", "runc")
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir="/tmp"))
    socket = folder / "docker.sock"
    command = [
        "dockerd", f"--host=unix://{socket}", f"--data-root={folder}/data", f"--exec-root={folder}/exec",
        f"--pidfile={folder}/pid", "--bridge=none", "--iptables=false", "--storage-driver=vfs",
        f"--default-address-pool={addresses}",
    ]  # fmt: skip

    def ready() -> bool:
        if not socket.exists():
            return False
        import httpx2

        with httpx2.Client(transport=httpx2.HTTPTransport(uds=str(socket))) as client:
            try:
                return client.get("http://engine/_ping").text == "OK"
            except httpx2.TransportError:
                return False

    try:
        with server(command, folder / "log", ready):
            try:
                yield f"unix://{socket}"
            finally:
                _empty(f"unix://{socket}")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def running_buildkit(folder: Path, *, secured: bool = False) -> Iterator[str]:
    """A BuildKit daemon that needs no engine; its address as ``unix://…``.

    A secured one listens at ``tcp://…`` to who has the certificate in the folder ``tls`` below.
    """
    need("runc")
    socket, port = folder / "buildkit.sock", free_port() if secured else 0
    address = f"tcp://127.0.0.1:{port}" if secured else f"unix://{socket}"
    command = [
        str(buildkit_tool("buildkitd")), f"--addr={address}", f"--root={folder}/buildkit",
        "--oci-worker-snapshotter=native", "--oci-worker-net=host", "--containerd-worker=false",
    ]  # fmt: skip
    if secured:
        (folder / "made").mkdir()
        ca, certificate, key = _certificate(folder / "made")
        (folder / "tls").mkdir()
        for name, source, option in (
            ("ca", ca, "tlscacert"),
            ("cert", certificate, "tlscert"),
            ("key", key, "tlskey"),
        ):
            shutil.copy(source, folder / f"tls/{name}.pem")
            command.append(f"--{option}={source}")
    with server(command, folder / "buildkit.log", (lambda: listens(port)) if secured else socket.exists):
        yield address


def docker_with_buildx(folder: Path) -> Path:
    """A docker configuration with the buildx command, for `DOCKER_CONFIG`."""
    plugins = folder / "cli-plugins"
    plugins.mkdir(parents=True)
    (plugins / "docker-buildx").symlink_to(buildkit_tool("buildx"))
    return folder


def buildkit_tool(name: str) -> Path:
    tool = Path(run(Path(__file__).with_name("buildkit") / "folder").strip()) / name
    if not tool.exists():
        missing(name)
    return tool


def _empty(engine: str) -> None:
    """Remove the containers and networks of an engine, and see that no bridge stays behind."""
    networks = _docker(engine, "network", "ls", "--quiet", "--no-trunc", "--filter", "type=custom")
    if containers := _docker(engine, "ps", "--all", "--quiet"):
        _docker(engine, "rm", "--force", *containers)
    if networks:
        _docker(engine, "network", "rm", *networks)
    left = [name for network in networks if Path("/sys/class/net", name := f"br-{network[:12]}").exists()]
    assert not left, f"bridges that outlive their engine: {left}"


def _docker(engine: str, *words: str) -> list[str]:
    return run("docker", "--host", engine, *words).split()
