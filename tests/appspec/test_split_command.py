from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pipegraft.cli import run

APP = """\
# The shop.
app: shop
components:
  web:                       # the pages
    ports: {http: 8080}
  orders: {ports: {grpc: 7000}}
  pricing:
    intimacy: in-process     # as fast as can be
    host: web
    mount: /opt/pricing
  governance: {intimacy: ipc, host: web, ports: {proxy: 9000}, memory: 64Mi}
"""
PRODUCTION = """\
components:
  web: {image: "registry/web@sha256:1"}
  orders: {image: "registry/orders@sha256:1"}
  pricing: {image: "registry/pricing@sha256:1", mount: /srv/pricing}   # pinned
  governance: {image: "registry/governance@sha256:1"}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "environments").mkdir()
    (tmp_path / "app.yaml").write_text(APP)
    (tmp_path / "environments" / "production.yaml").write_text(PRODUCTION)
    return tmp_path


def files(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*.yaml")}


def split(capsys: pytest.CaptureFixture[str], folder: Path, component: str, *words: str) -> dict[str, Any]:
    assert run(["split", component, str(folder), "--target", "kubernetes", "--json", *words]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def objects(shown: dict[str, Any]) -> list[tuple[str, str]]:
    return [(one["name"], one["kind"]) for one in shown["rendered"][0]["objects"]]


def test_a_sidecar_becomes_a_service_of_its_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shown = split(capsys, folder, "governance", "--to", "rpc")
    assert (folder / "app.yaml").read_text() == APP.replace("intimacy: ipc, host: web,", "intimacy: rpc,")
    assert shown["removed"] == ["app.yaml: host"]
    assert objects(shown) == [
        ("Deployment web", "changed"),
        ("Deployment governance", "added"),
        ("Service governance", "added"),
    ]
    assert "callers reach it at governance:9000 (proxy)" in " ".join(shown["notes"])
    assert "web, pricing no longer get PIPEGRAFT_PORT_GOVERNANCE" in " ".join(shown["notes"])


def test_a_mounted_component_becomes_a_sidecar_in_every_file(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = split(capsys, folder, "pricing", "--to", "ipc", "--port", "http=8100")
    assert files(folder) == {
        "app.yaml": APP.replace(
            "    intimacy: in-process     # as fast as can be\n    host: web\n    mount: /opt/pricing\n",
            "    intimacy: ipc     # as fast as can be\n    host: web\n    ports:\n      http: 8100\n",
        ),
        "environments/production.yaml": PRODUCTION.replace(", mount: /srv/pricing", ""),
    }
    assert shown["removed"] == ["app.yaml: mount", "environments/production.yaml: mount"]
    assert "every container of 'web' gets PIPEGRAFT_PORT_PRICING=8100" in shown["notes"]


def test_the_whole_way_and_back(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (
        ["--to", "ipc", "--port", "http=8100"],
        ["--to", "rpc"],
        ["--to", "ipc", "--host", "web"],
        ["--to", "in-process", "--mount", "/opt/pricing"],
    ):
        assert split(capsys, folder, "pricing", *words)["written"]
    part = (folder / "app.yaml").read_text().partition("  pricing:\n")[2].partition("  governance")[0]
    assert (
        part == "    intimacy: in-process     # as fast as can be\n    host: web\n    mount: /opt/pricing\n"
    )


def test_a_dry_run_shows_the_same_and_writes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = files(folder)
    assert run(["split", "governance", str(folder), "--to", "rpc", "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert "Would move governance to rpc" in shown
    assert "+  governance: {intimacy: rpc, ports: {proxy: 9000}, memory: 64Mi}" in shown
    assert "+ component governance" in shown
    assert files(folder) == before


def test_the_entrance_goes_via_one_that_stays_as_the_refusal_says(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = folder / "app.yaml"
    app.write_text(APP.replace("{http: 8080}", "{http: 8080}\n    entrance: {via: web, port: http}"))
    assert split(capsys, folder, "governance", "--to", "rpc")["written"]


def test_where_it_is_already_nothing_is_done(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = files(folder)
    assert run(["split", "governance", str(folder), "--to", "ipc"]) == 0
    assert "governance is ipc already: nothing to do" in capsys.readouterr().out
    assert files(folder) == before


NOTHING: dict[str, str] = {}
ENTRANCE = {"    ports: {http: 8080}": "    entrance: {via: governance}"}
VIA = {"    ports: {http: 8080}": "    ports: {http: 8080}\n    entrance: {via: governance}"}
SHARED = {
    "ports: {http: 8080}": "volumes: {logs: {path: /logs, ephemeral: {}}}",
    "memory: 64Mi": "volumes: {logs: {path: /logs}}",
}
GRAY = {
    "components:\n  web: {image": "gray: {release: {number: 2, source: x}, weight: 5, phase: step,"
    " components: {web: {image: y}}}\ncomponents:\n  web: {image"
}


@pytest.mark.parametrize(
    ("changes", "words", "message"),
    [
        (NOTHING, "pricing --to ipc", "fix: add --port NAME=NUMBER, what it listens on, or --worker"),
        (NOTHING, "pricing --to rpc --port http", "expected NAME=NUMBER, found 'http'"),
        (NOTHING, "governance --to in-process", "fix: add --mount /PATH"),
        (NOTHING, "web --to ipc", "'pricing, governance' live in the pod of 'web'"),
        (NOTHING, "orders --to ipc --host shop", "'shop' is not an rpc component; there are: web"),
        (NOTHING, "prices --to ipc", "there is no component 'prices'; there are: web, pricing"),
        (ENTRANCE, "governance --to rpc", "goes via 'governance', which would leave the pod"),
        (ENTRANCE, "governance --to rpc", "fix: first declare 'ports' of 'web' and take 'via' out"),
        (VIA, "governance --to rpc", "fix: write 'via' and 'port' of one that stays in the entrance first;"),
        (
            VIA,
            "governance --to in-process --mount /opt/g",
            "goes via 'governance', which would lose its ports",
        ),
        (VIA, "governance --to ipc --host orders", "the entrance of 'web' goes via 'governance'"),
        (SHARED, "governance --to rpc", "'governance' shares the volume 'logs' with its pod"),
        (GRAY, "governance --to rpc", "a gray release runs in 'production'"),
    ],
)
def test_a_step_that_cannot_be_made_is_refused_with_what_to_do(
    folder: Path,
    changes: dict[str, str],
    words: str,
    message: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    for name, text in files(folder).items():
        changed = text
        for old, new in changes.items():
            changed = changed.replace(old, new)
        (folder / name).write_text(changed)
    before = files(folder)
    component, *rest = words.split()
    assert run(["split", component, str(folder), *rest]) == 2
    assert message in capsys.readouterr().err
    assert files(folder) == before


def test_the_address_that_callers_read_follows_every_step(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program reads one variable and is never changed for a step."""
    words = ("--port", "http=9100", "--address", "PRICING_ADDRESS", "--host", "web")
    split(capsys, folder, "pricing", "--to", "ipc", *words)
    within = "PRICING_ADDRESS: 127.0.0.1:$(PIPEGRAFT_PORT_PRICING)\n"
    assert within in (folder / "app.yaml").read_text()
    beside = (folder / "app.yaml").read_text()
    shown = split(capsys, folder, "pricing", "--to", "rpc")
    assert "PRICING_ADDRESS: pricing:9100\n" in (folder / "app.yaml").read_text()
    assert within.split(" ")[1].strip() in str(shown["rendered"])
    split(capsys, folder, "pricing", "--to", "ipc", "--host", "web")
    assert within in (folder / "app.yaml").read_text()
    assert (folder / "app.yaml").read_text().count("pricing") == beside.count("pricing")


def test_addresses_follow_in_texts_of_every_file_and_nothing_alike_does(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    overlay = folder / "environments" / "production.yaml"
    app = APP.replace(
        "    ports: {http: 8080}\n",
        "    ports: {http: 8080}\n"
        "    args: [--proxy, 'http://localhost:$(PIPEGRAFT_PORT_GOVERNANCE)/v1', 'my-127.0.0.1:$(X)']\n",
    )
    (folder / "app.yaml").write_text(app)
    overlay.write_text(
        PRODUCTION.replace(
            'web: {image: "registry/web@sha256:1"}',
            'web: {image: "registry/web@sha256:1", env: {PROXY: "127.0.0.1:$(PIPEGRAFT_PORT_GOVERNANCE)"}}',
        )
    )
    split(capsys, folder, "governance", "--to", "rpc")
    assert "[--proxy, 'http://governance:9000/v1', 'my-127.0.0.1:$(X)']" in (folder / "app.yaml").read_text()
    assert 'env: {PROXY: "governance:9000"}' in overlay.read_text()


def test_a_variable_that_the_step_takes_away_is_refused_where_it_is_used(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    app = APP.replace("ports: {http: 8080}", "ports: {http: 8080}\n    args: [$(PIPEGRAFT_MOUNT_PRICING)]")
    (folder / "app.yaml").write_text(app)
    before = files(folder)
    assert run(["split", "pricing", str(folder), "--to", "ipc", "--port", "http=9100"]) == 2
    said = capsys.readouterr().err
    assert "app.yaml:6:" in said
    assert "'web' uses $(PIPEGRAFT_MOUNT_PRICING), which nothing in the pod of 'web' sets" in said
    assert files(folder) == before


@pytest.mark.parametrize("words", [("--to", "in-process", "--mount", "/x"), ("--to", "rpc", "--worker")])
def test_an_address_of_nothing_is_refused(
    words: tuple[str, ...], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    component = "governance" if "in-process" in words else "pricing"
    assert run(["split", component, str(folder), *words, "--address", "A"]) == 2
    assert "has no address that 'A' could hold" in capsys.readouterr().err
