"""`pipegraft judge` as a user types it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipegraft.app.simulate import simulate_policy
from pipegraft.cli import run
from pipegraft.core.delivery import Gray
from pipegraft.core.errors import UsageError

ROOT = Path(__file__).parents[2]
RELEASES = ROOT / "examples" / "releases"


@pytest.mark.parametrize(
    ("release", "words", "exit_code", "printed"),
    [
        ("healthy", [], 0, "sequential: pass after 17m and 29,380 requests of gray"),
        ("healthy", [], 0, "  at 5%, 14 intervals: inconclusive\n  at 25%, 3 intervals: pass\n"),
        ("twice-the-errors", [], 1, "sequential: fail after 9m and 9,091 requests of gray"),
        ("twice-the-errors", [], 1, "errors  fail  gray is worse: 2.27% of gray's 9,091 requests failed"),
        ("little-traffic", [], 0, "sequential: inconclusive after 20m and 420 requests of gray"),
    ],
)
def test_a_recorded_release_is_judged_again(
    release: str, words: list[str], exit_code: int, printed: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["judge", str(RELEASES / f"{release}.json"), *words]) == exit_code
    assert printed in capsys.readouterr().out


def test_what_is_printed_as_json_holds_all_the_evidence(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["judge", "--json", str(RELEASES / "twice-the-errors.json")]) == 1
    (replay,) = json.loads(capsys.readouterr().out)
    assert (replay["judge"], replay["goes-on"]) == ("sequential", False)
    (step,) = replay["steps"]
    assert (step["weight"], step["judgement"]["answer"]) == (5, "fail")
    errors = step["judgement"]["evidence"][0]
    assert errors["metric"] == "errors"
    assert errors["low"] < errors["estimate"] < errors["high"]
    assert errors["against"] >= errors["needed"] == 200


@pytest.mark.parametrize(("outcome", "exit_code"), [("promote", 0), ("hold", 1), ("rollback", 1)])
def test_an_inconclusive_release_goes_on_as_its_policy_says(
    tmp_path: Path, outcome: str, exit_code: int
) -> None:
    text = (RELEASES / "little-traffic.json").read_text()
    judged = tmp_path / "judged.json"
    judged.write_text(text.replace('"judge": "sequential"', f'"on-inconclusive": "{outcome}"'))
    assert run(["judge", str(judged)]) == exit_code


def test_the_policy_may_come_from_the_delivery(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    shop = str(ROOT / "examples" / "shop")
    bare = tmp_path / "bare.json"
    document = json.loads((RELEASES / "healthy.json").read_text())
    del document["policy"]
    bare.write_text(json.dumps(document, indent="\t"))
    assert run(["judge", str(bare), "--env", "production", "-C", shop]) == 0
    assert "p99" not in capsys.readouterr().out, "the shop judges by its errors alone"
    assert run(["judge", str(bare)]) == 2
    assert "'policy' is missing" in capsys.readouterr().err
    assert run(["judge", str(bare), "--env", "moon", "-C", shop]) == 2
    assert "there is no environment called 'moon'; there are: production" in capsys.readouterr().err


BROKEN = """\
policy:
  metrics: [{name: errors, tolerance: 0.2, margin: 0.1}, {name: p99, kind: latency}]
observations:
  - {start: 0, end: 60, weight: 5, stable: {errors: {requests: 10, errors: 11}}}
  - {start: 30, end: 20, weight: 5, gray: {p99: {latency: {bounds: [1, 0.5], counts: [1, 2, 3]}}}}
  - {start: x, end: 120, wait: 105}
"""

MISFIT = """\
policy:
  metrics: [{name: errors}, {name: p99, kind: latency}]
observations:
  - {start: 0, end: 60, weight: 5, stable: {errors: {requests: 10}}}
  - {start: 30, end: 90, weight: 5, gray: {p99: {requests: 5}}}
"""


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        (
            BROKEN,
            [
                ":2:13: 'policy.metrics[0]': 'margin' must be at least 'tolerance', 0.2",
                ":4:53: 'observations[0].stable.errors': expected at most 10 errors, found 11",
                ":5:49: 'observations[1].gray.p99': expected histogram bounds that rise",
                ":6:13: 'observations[2].start': expected a number",
                ":6:26: unknown key 'observations[2].wait'",
            ],
        ),
        (
            MISFIT,
            [
                ":5:13: expected observations in order of time: one that starts at 60 or later, found 30",
                ":4:53: metric 'errors' is of kind errors: expected errors of stable and gray, found none",
                ":5:49: metric 'p99' is of kind latency: expected a latency histogram",
            ],
        ),
        (
            "policy: {metrics: [{name: errors}]}\nobservations: []\n",
            [":2:15: expected one observation or more"],
        ),
        ("observations: [\n", [":2:1: expected YAML"]),
    ],
)
def test_everything_wrong_is_named_with_its_place(
    text: str, problems: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = tmp_path / "broken.yaml"
    broken.write_text(text)
    assert run(["judge", str(broken)]) == 2
    printed = capsys.readouterr().err
    for problem in problems:
        assert f"{broken}{problem}" in printed
    assert printed.count("error: ") == len(problems) + printed.count("weight' is missing")


def test_what_cannot_be_asked_for_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    for words in ([], [str(RELEASES / "healthy.json"), "--last", "3"]):
        assert run(["judge", *words]) == 2
        assert "expected FILEs of recorded releases, --last N" in capsys.readouterr().err
    assert run(["judge", "nowhere.json"]) == 2
    assert "nowhere.json: the file does not exist" in capsys.readouterr().err
    assert run(["judge", str(RELEASES / "healthy.json"), "--judge", "solomon"]) == 2
    assert "there is no judge called 'solomon'; there are: sequential" in (capsys.readouterr().err)


def test_a_simulation_needs_no_recorded_release(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["judge", "--simulate", "healthy.json"]) == 2
    assert "or --simulate" in capsys.readouterr().err


def test_a_policy_is_simulated_before_any_release() -> None:
    gray = Gray.model_validate({"metrics": [{"source": "fake"}], "interval": "1m"})
    line = next(iter(simulate_policy(gray, count=20, requests=20_000)))
    assert (line.name, line.good) == ("20,000 requests", True)
    assert line.tally.promoted >= 19
    other = Gray.model_validate({"metrics": [{"source": "fake", "kind": "value"}]})
    with pytest.raises(UsageError, match="a critical metric that counts requests"):
        next(iter(simulate_policy(other, count=20)))
