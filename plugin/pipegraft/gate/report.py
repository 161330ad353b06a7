"""What a gate saw, for CI systems: JUnit XML, which they show as tests, and JSON.

Source of the XML's form: https://github.com/testmoapp/junitxml (what GitLab and Jenkins read of it).
"""

from __future__ import annotations

import re
from xml.etree.ElementTree import Element, SubElement, tostring

from pipegraft.core.foreign_text import redacted
from pipegraft.core.release import GateResource, GateResult

__all__ = ["junit_xml"]

_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold; logs may."""
_GOOD = "succeeded"


def junit_xml(result: GateResult, name: str) -> str:
    """A test for the gate as a whole, and one for each resource.

    Arguments:
        name: of the suite: app and environment.
    """
    parts = [GateResource(name="live and healthy", state=result.verdict, message=result.evidence)]
    parts += result.resources
    suite = Element(
        "testsuite",
        name=name,
        tests=str(len(parts)),
        failures=str(sum(part.state != _GOOD for part in parts)),
        time=f"{result.seconds:.3f}",
    )
    for index, part in enumerate(parts):
        case = SubElement(suite, "testcase", classname=name, name=_clean(part.name))
        case.set("time", f"{result.seconds:.3f}" if index == 0 else "0")
        if part.state != _GOOD:
            failure = SubElement(case, "failure", type=part.state, message=_clean(part.message))
            lines = (f"{part.state}: {part.message}", *(result.details if index == 0 else ()))
            failure.text = _clean("\n".join(lines))
    root = Element("testsuites")
    root.append(suite)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _clean(text: str) -> str:
    return _NOT_XML.sub("\ufffd", redacted(text))
