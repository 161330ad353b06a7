from __future__ import annotations

import xml.etree.ElementTree as ET

from pipegraft.core.release import GateResource, GateResult
from pipegraft.gate.stage import junit_xml


def test_a_failure_names_the_resource_and_shows_the_evidence() -> None:
    result = GateResult(
        revision="a" * 40,
        verdict="failed",
        evidence="Deployment shop/web: <crashes> & burns",
        seconds=1.5,
        details=("log of pod web-1:", "    \x1b[31mboom\x1b[0m \x00"),
        resources=(
            GateResource(name="Deployment shop/web", state="failed", message="CrashLoopBackOff"),
            GateResource(name="Deployment shop/db", state="succeeded"),
        ),
    )
    suite = ET.fromstring(junit_xml(result, "shop production"))[0]  # noqa: S314 - our own text
    assert (suite.get("tests"), suite.get("failures"), suite.get("time")) == ("3", "2", "1.500")
    whole, web, db = suite.findall("testcase")
    failure = whole.find("failure")
    assert failure is not None
    assert failure.get("message") == "Deployment shop/web: <crashes> & burns"
    assert "boom" in (failure.text or "")
    assert web.find("failure") is not None
    assert db.find("failure") is None


def test_a_success_has_no_failure() -> None:
    result = GateResult(revision="a" * 40, verdict="succeeded", evidence="live", seconds=2)
    suite = ET.fromstring(junit_xml(result, "shop staging"))[0]  # noqa: S314 - our own text
    assert (suite.get("tests"), suite.get("failures")) == ("1", "0")
