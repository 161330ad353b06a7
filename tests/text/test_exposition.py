"""The Prometheus text format, both ways."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipegraft.core.errors import UsageError
from pipegraft.text.exposition import Family, Sample, parse, render

LABEL = st.from_regex(r"[a-z_][a-z0-9_]{0,8}", fullmatch=True)
VALUE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]) | st.sampled_from('\n"\\'))


@given(st.lists(st.tuples(st.dictionaries(LABEL, VALUE, max_size=3), st.floats(allow_nan=False)), max_size=5))
def test_what_is_written_is_read_back(samples: list[tuple[dict[str, str], float]]) -> None:
    family = Family("m", "gauge", "Help.", tuple(Sample("m", labels, value) for labels, value in samples))
    assert tuple(parse(render([family]))) == family.samples


def test_the_specification_s_example_is_read() -> None:
    text = (
        "# HELP http_requests_total The total number of HTTP requests.\n"
        "# TYPE http_requests_total counter\n"
        'http_requests_total{method="post",code="200"} 1027 1395066363000\n'
        'msdos_file_access_time_seconds{path="C:\\\\DIR\\\\FILE.TXT",'
        'error="Cannot find:\\n\\"FILE.TXT\\""} 1.458e9\n'
        "metric_without_timestamp_and_labels 12.47\n"
        'something_weird{problem="division by zero"} +Inf -3982045\n'
        "\n"
        'http_request_duration_seconds_bucket{le="0.05",} 24054\n'
    )
    assert list(parse(text)) == [
        Sample("http_requests_total", {"method": "post", "code": "200"}, 1027),
        Sample(
            "msdos_file_access_time_seconds",
            {"path": "C:\\DIR\\FILE.TXT", "error": 'Cannot find:\n"FILE.TXT"'},
            1.458e9,
        ),
        Sample("metric_without_timestamp_and_labels", {}, 12.47),
        Sample("something_weird", {"problem": "division by zero"}, math.inf),
        Sample("http_request_duration_seconds_bucket", {"le": "0.05"}, 24054),
    ]


@pytest.mark.parametrize("line", ["no value", "a{b=c} 1", "a{b='c'} 1", "a one", "{} 1"])
def test_other_lines_are_refused_with_their_number(line: str) -> None:
    with pytest.raises(UsageError, match="line 2"):
        list(parse(f"ok 1\n{line}\n"))
