"""Counts kept by others, in a file or printed by a command."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from pipegraft.app.plugins import shipped_plugins
from pipegraft.core.delivery import Metric
from pipegraft.core.errors import Unreachable, UsageError
from pipegraft.gray.hooks import METRIC_SOURCES
from pipegraft.gray.observation import ArmCounts
from pipegraft.gray.ports import Arms, MetricRequest, MetricSource
from pipegraft.testing.gray_suite import MetricSourceSuite, Play


def open_source(root: Path, name: str, **keys: Any) -> MetricSource:
    metric = Metric.model_validate({"source": name, **keys})
    plugin = shipped_plugins().get(METRIC_SOURCES, name)
    return plugin.connect(
        plugin.options.model_validate(dict(metric.options)), MetricRequest("shop", "production", metric, root)
    )


def show(path: Path, stable: Any, gray: Any = None) -> None:
    path.write_text(json.dumps({"stable": stable, "gray": gray}))


@pytest.mark.parametrize("name", ["json", "command"])
class TestCountsSource(MetricSourceSuite):
    @pytest.fixture
    def play(self, tmp_path: Path, name: str) -> Play:
        file = tmp_path / "counts.json"
        keys: dict[str, Any] = {"json": {"path": file.name}, "command": {"command": ["cat", file.name]}}[name]

        def play(intervals: Sequence[Arms | None]) -> tuple[MetricSource, Callable[[], None]]:
            coming = iter(intervals)
            totals = {arm: {"requests": 500.0, "errors": 5.0} for arm in ("stable", "gray")}
            show(file, **totals)

            def happen() -> None:
                arms = next(coming)
                if arms is None:
                    file.unlink()
                    return
                for arm, seen in (("stable", arms.stable), ("gray", arms.gray)):
                    assert seen
                    totals[arm]["requests"] += seen.requests
                    totals[arm]["errors"] += seen.errors or 0
                show(file, **totals)

            return open_source(tmp_path, name, **keys), happen

        return play


def test_totals_in_a_file_become_what_rose(tmp_path: Path) -> None:
    file = tmp_path / "counts.json"
    opened = open_source(tmp_path, "json", path="counts.json")
    show(file, {"requests": 100, "errors": 7})
    assert opened.begin(10, 20) == 20
    show(file, {"requests": 190, "errors": 8}, {"requests": 10, "errors": 2})
    assert opened.take(30) == Arms(ArmCounts(90, 1), ArmCounts(10, 2))
    show(file, {"requests": 5, "errors": 0}, {"requests": 10, "errors": 2})
    assert opened.take(40) == Arms(ArmCounts(5, 0), ArmCounts(0, 0))


def test_a_command_prints_them(tmp_path: Path) -> None:
    program = 'print(\'{"gray": {"value": 1.5}}\')'
    opened = open_source(tmp_path, "command", kind="value", command=[sys.executable, "-c", program])
    opened.begin(0, 0)
    assert opened.take(1) == Arms(None, ArmCounts(value=1.5))


def test_nothing_to_read_is_an_outside_failure(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="cannot be read"):
        open_source(tmp_path, "json", path="absent.json").take(1)
    failing = [sys.executable, "-c", "import sys; sys.exit('out of order')"]
    with pytest.raises(Unreachable, match="out of order"):
        open_source(tmp_path, "command", command=failing).take(1)


@pytest.mark.parametrize("text", ["", "[]", '{"stable": {"request": 1}}', '{"gray": {"requests": -1}}'])
def test_anything_else_is_wrong_usage(tmp_path: Path, text: str) -> None:
    (tmp_path / "counts.json").write_text(text)
    with pytest.raises(UsageError, match="expected totals of stable and gray"):
        open_source(tmp_path, "json", path="counts.json").take(1)
