from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from pipegraft.gate.verdicts.sync_windows import can_sync

APP = {
    "metadata": {"name": "shop-web"},
    "spec": {"destination": {"server": "https://kubernetes.default.svc", "namespace": "shop"}},
}
WEDNESDAY = datetime(2026, 3, 4, 22, 30, tzinfo=UTC)


def window(kind: str = "deny", schedule: str = "0 22 * * *", duration: str = "1h", **more: Any) -> Any:
    scope = more or {"applications": ["*"]}
    return {"kind": kind, "schedule": schedule, "duration": duration, **scope}


@pytest.mark.parametrize(
    ("windows", "answer"),
    [
        ([], None),
        ([window()], False),
        ([window(duration="30m")], True),
        ([window("allow")], True),
        ([window("allow", "0 3 * * *")], False),
        ([window("allow"), window("deny", "15 22 * * *")], False),
        ([window("allow", "0 3 * * *"), window("allow")], True),
        ([window("deny", "0 3 * * *")], True),
        ([window(applications=["shop-*"])], False),
        ([window(applications=["other"])], None),
        ([window(namespaces=["shop"])], False),
        ([window(clusters=["https://kubernetes.default.svc"])], False),
        ([window(applications=["other"], namespaces=["shop"])], False),
        ([window(applications=["other"], namespaces=["shop"], andOperator=True)], None),
        ([window(schedule="0 22 * * 3")], False),
        ([window(schedule="0 22 * * wed")], False),
        ([window(schedule="0 22 * * 1-2,4-7")], True),
        ([window(schedule="0 22 5 * 3")], False),  # by day or by weekday
        ([window(schedule="0 22 5 * *")], True),
        ([window(schedule="*/15 * * mar *", duration="1m")], False),
        ([window(schedule="5-20/5 22 * * *", duration="11m")], False),
        ([window(schedule="5-20/5 22 * * *", duration="10m")], True),
        ([window(schedule="0 23 * * *", duration="24h")], False),
        ([window(applications=["*"], timeZone="Europe/Berlin")], True),
        ([window(schedule="0 23 * * *", applications=["*"], timeZone="Europe/Berlin")], False),
        ([window(schedule="hourly")], None),
        ([window(applications=["*"], timeZone="Nowhere/Land")], None),
    ],
)
def test_windows(windows: list[Any], answer: bool | None) -> None:
    assert can_sync(windows, APP, WEDNESDAY) is answer
