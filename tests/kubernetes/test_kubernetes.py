"""The Kubernetes client at its edges; against a real API server it is tested end to end."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from http_script import Script, scripted

from pipegraft.core.errors import AccessDenied, PipegraftError, Unreachable, UsageError
from pipegraft.gate.adapters.workloads import ClusterReader
from pipegraft.kubernetes.adapters import credentials, watching
from pipegraft.kubernetes.adapters.cluster import Cluster
from pipegraft.kubernetes.adapters.credentials import Credentials, Identity, load_access
from pipegraft.kubernetes.model import CONFIG_MAP, ClusterOptions

PATH = "/api/v1/namespaces/shop/configmaps"


def item(name: str, version: int, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "namespace": "shop", "resourceVersion": str(version)}, "data": data}


def listing(version: int, *items: dict[str, Any]) -> dict[str, Any]:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


def event(kind: str, found: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "object": found}


GONE = {
    "type": "ERROR",
    "object": {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old resource version"},
}


def until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def write_config(file: Path, server: str = "http://127.0.0.1:1", **user: Any) -> Path:
    config = {
        "current-context": "it",
        "contexts": [{"name": "it", "context": {"cluster": "c", "user": "u", "namespace": "shop"}}],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(yaml.safe_dump(config))
    return file


@pytest.fixture
def open_script(tmp_path: Path) -> Iterator[Callable[..., tuple[Cluster, Script]]]:
    """Answers lists and watches of ConfigMaps from two functions."""
    opened: list[Any] = []

    def start(lists: Callable[[int], Any], watches: Callable[[int, Script], Any]) -> tuple[Cluster, Script]:
        counts = {"list": 0, "watch": 0}

        def answer(script: Script, query: dict[str, str]) -> Any:
            which = "watch" if query.get("watch") else "list"
            counts[which] += 1
            return watches(counts[which], script) if which == "watch" else lists(counts[which])

        context = scripted({PATH: answer})
        script = context.__enter__()
        cluster = Cluster(
            ClusterOptions(kubeconfig=str(write_config(tmp_path / "config", script.url))), Path()
        )
        opened.append((cluster, context))
        return cluster, script

    yield start
    for cluster, context in opened:
        cluster.close()
        context.__exit__(None, None, None)


def silent(script: Script) -> Iterator[Any]:
    """A watch that tells nothing."""
    script.ended.wait(20)
    yield from ()


def data_of(cluster: Cluster) -> dict[str, Any]:
    return {name: found["data"] for (_, name), found in cluster.watched(CONFIG_MAP).objects().items()}


def test_a_watch_that_forgot_the_past_is_begun_anew(open_script: Any) -> None:
    lists = {1: listing(5, item("one", 5, a="1")), 2: listing(9, item("one", 8, a="2"))}

    def watches(number: int, script: Script) -> Any:
        return iter([GONE]) if number == 1 else silent(script)

    cluster, script = open_script(lambda number: lists[min(number, 2)], watches)
    assert data_of(cluster) == {"one": {"a": "1"}}
    until(lambda: data_of(cluster) == {"one": {"a": "2"}})
    until(lambda: script.count(PATH, watch="true", resourceVersion="9") == 1)


def test_what_a_watch_does_not_know_yet_is_looked_for_before_it_counts_as_absent(open_script: Any) -> None:
    lists = {1: listing(5), 2: listing(7, item("one", 7, a="1"))}
    cluster, _ = open_script(lambda number: lists[min(number, 2)], lambda _number, script: silent(script))
    reader = ClusterReader(cluster)
    assert reader.objects(CONFIG_MAP, "shop") == {}
    found = reader.find(CONFIG_MAP, "shop", "one")
    assert found is not None
    assert found["data"] == {"a": "1"}
    assert reader.find(CONFIG_MAP, "shop", "nosuch") is None


def test_a_dropped_event_is_found_by_the_poll(open_script: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL", 0.2)
    lists = {1: listing(5, item("one", 5, a="1")), 2: listing(7, item("one", 7, a="2"))}
    cluster, _ = open_script(lambda number: lists[min(number, 2)], lambda _number, script: silent(script))
    assert data_of(cluster) == {"one": {"a": "1"}}
    until(lambda: data_of(cluster) == {"one": {"a": "2"}})


def test_an_event_that_a_listing_has_overtaken_changes_nothing(open_script: Any) -> None:
    """A watch that lags behind tells old news: a status that was Healthy once must not come back."""

    def watches(_number: int, script: Script) -> Iterator[Any]:
        yield event("MODIFIED", item("one", 4, a="old"))
        yield event("DELETED", item("one", 3, a="older"))
        yield event("ADDED", item("two", 11, a="new"))
        yield from silent(script)

    cluster, _ = open_script(lambda _number: listing(10, item("one", 9, a="1")), watches)
    until(lambda: data_of(cluster) == {"one": {"a": "1"}, "two": {"a": "new"}})


def test_a_listing_older_than_the_watch_takes_nothing_back(
    open_script: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "POLL", 0.1)
    told = threading.Event()

    def watches(_number: int, script: Script) -> Iterator[Any]:
        yield event("MODIFIED", item("one", 20, a="2"))
        yield event("DELETED", item("two", 21))
        told.set()
        yield from silent(script)

    old = listing(10, item("one", 9, a="1"), item("two", 8))
    cluster, script = open_script(lambda _number: old, watches)
    cluster.watched(CONFIG_MAP).objects()
    assert told.wait(60)
    until(lambda: data_of(cluster) == {"one": {"a": "2"}})
    asked = script.count(PATH, limit="500")

    def listed_again() -> bool:
        assert data_of(cluster) == {"one": {"a": "2"}}
        return script.count(PATH, limit="500") > asked

    until(listed_again)  # the listing is due again after a moment, and is as old as before


def test_a_server_that_answers_nonsense_is_an_outside_failure(open_script: Any) -> None:
    cluster, _ = open_script(lambda _number: (502, b"<html>bad gateway"), lambda _number, _script: iter(()))
    with pytest.raises(Unreachable, match="answered 502"):
        cluster.watched(CONFIG_MAP).objects()


def test_nobody_answers(tmp_path: Path) -> None:
    cluster = Cluster(ClusterOptions(kubeconfig=str(write_config(tmp_path / "config"))), Path())
    with pytest.raises(Unreachable, match=r"http://127\.0\.0\.1:1 does not answer"):
        cluster.find(CONFIG_MAP)


# Which cluster


def test_the_first_of_several_kubeconfigs_wins(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    one = write_config(tmp_path / "one", "https://one", tokenFile="token")
    two = write_config(tmp_path / "sub" / "two", "https://two", token="other")
    access = load_access(
        ClusterOptions(), tmp_path, {"KUBECONFIG": f"{tmp_path}/absent:{one}:{two}", "HOME": str(tmp_path)}
    )
    assert access["cluster"]["server"] == "https://one"
    assert access["user"] == {"tokenFile": str(tmp_path / "token")}
    assert access["namespace"] == "shop"


@pytest.mark.parametrize(
    ("options", "variables", "says"),
    [
        ({"kubeconfig": "none"}, {}, "cannot be read"),
        ({"context": "other"}, {"KUBECONFIG": "config"}, "has no context 'other'; it has: it"),
        ({}, {"KUBECONFIG": "gone"}, "does not exist"),
        ({}, {}, "expected a kubeconfig or to run in a pod"),
        ({"kubeconfig": "broken"}, {}, "is not YAML"),
    ],
)
def test_what_is_wrong_with_a_kubeconfig_is_told_without_its_secrets(
    tmp_path: Path, options: dict[str, str], variables: dict[str, str], says: str
) -> None:
    write_config(tmp_path / "config", token="hush")
    (tmp_path / "broken").write_text("{token: hush")
    found = {key: str(tmp_path / value) for key, value in variables.items()}
    with pytest.raises(UsageError, match=says) as raised:
        load_access(ClusterOptions(**options), tmp_path, {"HOME": str(tmp_path / "home"), **found})
    assert "hush" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "server"), [("10.0.0.1", "https://10.0.0.1:6443"), ("fd00::1", "https://[fd00::1]:6443")]
)
def test_in_a_pod_its_own_account_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, host: str, server: str
) -> None:
    (tmp_path / "token").write_text("hush")
    (tmp_path / "namespace").write_text("ci\n")
    monkeypatch.setattr(credentials, "_ACCOUNT", tmp_path)
    variables = {"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": "6443", "HOME": str(tmp_path)}
    access = load_access(ClusterOptions(), tmp_path, variables)
    assert (access["cluster"]["server"], access["namespace"]) == (server, "ci")
    assert Credentials(lambda: access).current().header == "Bearer hush"


# As whom


def plugin(tmp_path: Path, answer: str, code: int = 0, **more: Any) -> dict[str, Any]:
    file = tmp_path / "plugin"
    file.write_text(f"#!/bin/sh\necho x >> {tmp_path}/runs\ncat <<'EOF'\n{answer}\nEOF\nexit {code}\n")
    file.chmod(0o755)
    told = {"apiVersion": "client.authentication.k8s.io/v1", "command": str(file), **more}
    return {"context": "it", "cluster": {"server": "https://x"}, "user": {"exec": told}}


def credential(**status: str) -> str:
    return json.dumps({"kind": "ExecCredential", "status": status})


def test_a_plugins_token_is_kept_until_it_expires(tmp_path: Path) -> None:
    now = [0.0]
    access = plugin(tmp_path, credential(token="hush", expirationTimestamp="1970-01-01T00:10:00Z"))
    credentials = Credentials(lambda: access, lambda: now[0])
    assert credentials.current().header == "Bearer hush"
    now[0] = 580.0
    credentials.current()
    assert (tmp_path / "runs").read_text() == "x\n"
    now[0] = 595.0
    credentials.current()
    assert (tmp_path / "runs").read_text() == "x\nx\n"
    assert "hush" not in repr(credentials.current())


def test_a_plugin_may_answer_a_certificate(tmp_path: Path) -> None:
    access = plugin(tmp_path, credential(clientCertificateData="CERT", clientKeyData="KEY"))
    assert Credentials(lambda: access).current() == Identity(None, (b"CERT", b"KEY"))


@pytest.mark.parametrize(
    ("answer", "more", "error", "says"),
    [
        ("no", {}, AccessDenied, "did not answer an ExecCredential"),
        ("", {"code": 3}, AccessDenied, "ended with 3"),
        (credential(token="x"), {"apiVersion": "v9"}, UsageError, "expected apiVersion"),
        ("", {"command": "no-such-plugin", "installHint": "get it"}, UsageError, "is not installed"),
    ],
)
def test_what_a_plugin_does_wrong_is_told(
    tmp_path: Path, answer: str, more: dict[str, Any], error: type[PipegraftError], says: str
) -> None:
    access = plugin(tmp_path, answer, **more)
    with pytest.raises(error, match=says):
        Credentials(lambda: access).current()


def test_a_password_is_sent_as_basic_authentication() -> None:
    access = {"context": "it", "cluster": {}, "user": {"username": "u", "password": "p"}}
    assert Credentials(lambda: access).current().header == "Basic dTpw"


def test_a_token_of_the_kubeconfig_that_was_replaced_is_taken(tmp_path: Path) -> None:
    with scripted({}) as script:
        refused = (401, {"kind": "Status", "code": 401, "message": "Unauthorized"})

        def answer(script: Script, _query: dict[str, str]) -> Any:
            good = script.headers[-1]["Authorization"] == "Bearer new"
            return listing(1) if good else refused

        script.answers[PATH] = answer
        file = write_config(tmp_path / "config", script.url, token="old")
        cluster = Cluster(ClusterOptions(kubeconfig=str(file)), Path())
        with pytest.raises(AccessDenied, match="does not accept our credentials"):
            cluster.find(CONFIG_MAP)
        write_config(file, script.url, token="new")
        assert cluster.find(CONFIG_MAP) == []
        cluster.close()
