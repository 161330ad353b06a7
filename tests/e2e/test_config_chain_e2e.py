"""A change of configuration with real processes: good is promoted, bad is taken back by a commit."""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from test_kill_e2e import DEADLINE, ENVIRONMENT, Chain, running, wait_for

from pipegraft.demo.world import Traffic, ask

pytestmark = pytest.mark.e2e
CONFIGURABLE = [
    ("import os\n", "import os\nimport random\n"),
    (
        'VERSION = "v1"',
        'VERSION = os.environ.get("LABEL", "v1")\nFAILING = float(os.environ.get("FAILING", "0"))',
    ),
    (
        "        cents = ",
        "        if random.random() < FAILING:\n"
        '            self.answer(500, {"error": "as configured"})\n'
        "            return\n"
        "        cents = ",
    ),
]


@pytest.fixture
def chain(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path)
    chain.world.change("services/web/web.py", CONFIGURABLE)
    chain.world.commit("shop: configurable")
    with running(chain):
        yield chain


def pipegraft(chain: Chain, number: int, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pipegraft", *words],
        cwd=chain.world.source,
        env={**chain.world.environment, "PIPEGRAFT_RELEASE_NUMBER": str(number)},
        capture_output=True,
        text=True,
        timeout=2 * DEADLINE,
        check=False,
    )


def release(chain: Chain, number: int, *config: str) -> subprocess.CompletedProcess[str]:
    words = [word for one in config for word in ("--set", f"components.web.env.{one}")]
    prepared = pipegraft(chain, number, "gray", "prepare", "--env", "production", *words)
    assert prepared.returncode == 0, prepared.stderr
    assert prepared.stdout == "next: pipegraft run gray-release --env production\n"
    with Traffic(chain.status()["entrances"]["web"]):
        return pipegraft(chain, number, "run", "gray-release", "--env", "production")


def test_good_configuration_is_promoted_and_bad_is_taken_back_by_a_commit(chain: Chain) -> None:
    entrance = chain.status()["entrances"]["web"]
    good = release(chain, 10, "LABEL=limited")
    assert good.returncode == 0, good.stderr
    promoted = chain.world.iac_file(ENVIRONMENT)
    assert b"gray:" not in promoted
    assert b"LABEL: limited" in promoted
    wait_for(lambda: {ask(entrance) for _ in range(10)} == {(200, "limited")}, "the new version serves")

    for number, fault, reason in (
        (11, "FAILING=0.5", "errors"),
        (12, "FAILING=often", "did not take it over"),
    ):
        bad = release(chain, number, fault)
        assert bad.returncode == 1, bad.stderr
        assert f"release {number} was rolled back in production" in bad.stderr
        assert reason in bad.stderr
        assert chain.world.iac_file(ENVIRONMENT) == promoted
        assert chain.subjects()[-1] == f"shop: roll back release {number} in production"
    wait_for(lambda: {ask(entrance) for _ in range(20)} == {(200, "limited")}, "the old version serves")

    chain_of_proof = pipegraft(chain, 13, "audit", "--env", "production", "--release", "10")
    assert chain_of_proof.returncode == 0, chain_of_proof.stdout
    again = pipegraft(chain, 12, "gray", "prepare", "--set", "components.web.env.LABEL=limited")
    assert again.returncode == 0
    assert "unchanged: production has this configuration already" in again.stderr


COLD = [
    ("import random\n", "import random\nimport time\n"),
    ("FAILING = ", "BEGAN = time.monotonic()\nFAILING = "),
    (
        "random.random() < FAILING",
        "random.random() < FAILING + (time.monotonic() < BEGAN + 3) * 0.25",
    ),
]
"""New processes fail a quarter of their requests for three seconds."""


@pytest.fixture
def beside_fresh_pods(tmp_path: Path) -> Iterator[Chain]:
    chain = Chain(tmp_path)
    chain.world.change("services/web/web.py", [*CONFIGURABLE, *COLD])
    chain.world.change(
        "delivery.yaml", [("      warm-up: 0s\n", "      warm-up: 0s\n      baseline: fresh\n")]
    )
    chain.world.commit("shop: cold when new")
    with running(chain):
        yield chain


def answered(chain: Chain) -> dict[str, int]:
    """Requests of each version's instances, as the proxy remembers them."""
    with urllib.request.urlopen(f"{chain.url}/instances", timeout=10) as page:
        rows = json.load(page)["rows"]
    counted: dict[str, int] = {}
    for _, _, backend, _, (_, *counts) in rows:
        counted[backend] = counted.get(backend, 0) + sum(counts)
    return counted


def test_beside_fresh_pods_a_cold_version_is_promoted_and_a_bad_one_taken_back(
    beside_fresh_pods: Chain,
) -> None:
    chain = beside_fresh_pods
    good = release(chain, 10, "LABEL=limited")
    assert good.returncode == 0, good.stderr
    promoted = chain.world.iac_file(ENVIRONMENT)
    assert b"LABEL: limited" in promoted
    assert b"baseline" not in promoted
    history = chain.world.git(chain.world.iac, "log", "-p", "--format=%B", "main", "--", ENVIRONMENT)
    assert "+  baseline: true" in history
    assert '"fresh":true' in history
    assert '"serving":{"errors"' in history
    counts = answered(chain)
    assert set(counts) == {"web", "web-gray", "web-baseline"}, counts
    assert counts["web-gray"] > counts["web-baseline"] > 100, "at the promotion gray gets all requests"

    bad = release(chain, 11, "FAILING=0.5")
    assert bad.returncode == 1, bad.stderr
    assert "release 11 was rolled back in production" in bad.stderr
    assert chain.world.iac_file(ENVIRONMENT) == promoted
    assert set(chain.status()["routes"]["web"]) == {"web"}, chain.status()["routes"]
