"""Real git servers on this machine: nginx with git-http-backend and a password, and OpenSSH."""

from __future__ import annotations

import getpass
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from harness import free_port, listens, need, run, server

USER, PASSWORD = "pipeline", "s3cr3t-t0ken"

_NGINX = """\
daemon off;
{user}
worker_processes 2;
pid {folder}/nginx.pid;
error_log {folder}/error.log;
events {{}}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    fastcgi_temp_path {folder}/fastcgi;
    proxy_temp_path {folder}/proxy;
    scgi_temp_path {folder}/scgi;
    uwsgi_temp_path {folder}/uwsgi;
    server {{
        listen 127.0.0.1:{port};
        client_max_body_size 0;
        auth_basic "iac";
        auth_basic_user_file {folder}/users;
        location / {{
            fastcgi_pass unix:{folder}/fcgi.sock;
            fastcgi_param SCRIPT_FILENAME {backend};
            fastcgi_param GIT_PROJECT_ROOT {repositories};
            fastcgi_param GIT_HTTP_EXPORT_ALL "";
            fastcgi_param GIT_PROTOCOL $http_git_protocol;
            fastcgi_param PATH_INFO $uri;
            fastcgi_param REMOTE_USER $remote_user;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_TYPE $content_type;
            fastcgi_param CONTENT_LENGTH $content_length;
            fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
        }}
    }}
}}
"""

_SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
AuthorizedKeysFile {folder}/key.pub
PidFile {folder}/sshd.pid
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
StrictModes no
UsePAM no
AcceptEnv GIT_PROTOCOL
"""


@dataclass(frozen=True)
class GitServer:
    """A running server.

    Arguments:
        repositories: folder with bare repositories.
        url: of that folder.
        variables: what Pipegraft needs to write there.
        log: file with a line for each request, if the server writes one.
    """

    repositories: Path
    url: str
    variables: Mapping[str, str] = field(default_factory=dict)
    log: Path | None = None


def make_bare(folder: Path, files: Mapping[str, str]) -> Path:
    """A bare repository whose branch ``main`` holds the files."""
    bare = folder / "iac.git"
    run("git", "init", "--quiet", "--bare", "--initial-branch=main", bare)
    for key in ("http.receivepack", "uploadpack.allowFilter"):
        run("git", "-C", bare, "config", key, "true")
    stream = "commit refs/heads/main\ncommitter Ada <ada@example.com> 1700000000 +0000\ndata 5\nfirst\n"
    for path, text in files.items():
        stream += f"M 100644 inline {path}\ndata {len(text.encode())}\n{text}\n"
    source = folder / "stream"
    source.write_bytes(stream.encode())
    run("sh", "-c", 'git -C "$0" fast-import --quiet < "$1"', bare, source)
    return bare


@contextmanager
def http_server(folder: Path) -> Iterator[GitServer]:
    """nginx and git-http-backend; every request needs the password."""
    need("nginx", "fcgiwrap", "htpasswd")
    repositories = folder / "repositories"
    repositories.mkdir(parents=True)
    port = free_port()
    run("htpasswd", "-cbs", folder / "users", USER, PASSWORD)
    backend = Path(run("git", "--exec-path").strip()) / "git-http-backend"
    config = folder / "nginx.conf"
    config.write_text(
        _NGINX.format(
            folder=folder,
            port=port,
            repositories=repositories,
            backend=backend,
            user="user root;" if os.getuid() == 0 else "",
        )
    )
    socket = folder / "fcgi.sock"
    fcgi = ["fcgiwrap", "-s", f"unix:{socket}"]  # one process, so that none outlives the test
    nginx = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config)]
    variables = {"PIPEGRAFT_IAC_USER": USER, "PIPEGRAFT_IAC_TOKEN": PASSWORD}
    with (
        server(fcgi, folder / "fcgi.log", socket.exists),
        server(nginx, folder / "nginx.log", lambda: listens(port)),
    ):
        yield GitServer(repositories, f"http://127.0.0.1:{port}", variables, folder / "access.log")


@contextmanager
def ssh_server(folder: Path) -> Iterator[GitServer]:
    """OpenSSH for the user who runs the tests, with a key of its own."""
    os.environ["PATH"] += os.pathsep + "/usr/sbin"
    need("sshd", "ssh", "ssh-keygen")
    repositories = folder / "repositories"
    repositories.mkdir(parents=True)
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # where sshd confines itself when it is root
    port = free_port()
    for name in ("host", "key"):
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / name)
    (folder / "sshd_config").write_text(_SSHD.format(folder=folder, port=port))
    known = folder / "known_hosts"
    known.write_text(f"[127.0.0.1]:{port} {(folder / 'host.pub').read_text()}")
    command = f"ssh -o UserKnownHostsFile={known} -o GlobalKnownHostsFile=/dev/null"
    variables = {"PIPEGRAFT_IAC_SSH_KEY": str(folder / "key"), "GIT_SSH_COMMAND": command}
    sshd = ["/usr/sbin/sshd", "-D", "-e", "-f", str(folder / "sshd_config")]
    url = f"ssh://{getpass.getuser()}@127.0.0.1:{port}{repositories}"
    with server(sshd, folder / "sshd.log", lambda: listens(port)):
        yield GitServer(repositories, url, variables)
