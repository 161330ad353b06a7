"""GitLab's rules, tried on made-up pipelines."""

from __future__ import annotations

import pytest

from pipegraft.maturity.jobs import MERGE_REQUEST, PUSHES, is_let_in, is_true, runs_by_only

MAIN, FEATURE = PUSHES


@pytest.mark.parametrize(
    ("expression", "main", "feature", "merge_request"),
    [
        ("", True, True, True),
        ("$CI_COMMIT_BRANCH", True, True, False),
        ("$CI_MERGE_REQUEST_IID", False, False, True),
        ('$CI_PIPELINE_SOURCE == "merge_request_event"', False, False, True),
        ("$CI_PIPELINE_SOURCE != 'merge_request_event'", True, True, False),
        ("$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", True, False, False),
        ("$CI_COMMIT_BRANCH && $CI_COMMIT_BRANCH != $CI_DEFAULT_BRANCH", False, True, False),
        ("$CI_COMMIT_TAG", False, False, False),
        ("$CI_COMMIT_TAG || $CI_MERGE_REQUEST_ID", False, False, True),
        ("$CI_COMMIT_BRANCH =~ /^feat/", False, True, False),
        ("$CI_COMMIT_BRANCH !~ /^FEAT/i", True, False, True),
        ('($CI_COMMIT_TAG || $CI_COMMIT_BRANCH) && $CI_PIPELINE_SOURCE == "push"', True, True, False),
        ("$CI_COMMIT_BRANCH == null", False, False, True),
        ("this is no expression", True, True, True),
        ("$A ==", True, True, True),
    ],
)
def test_expressions(expression: str, main: bool, feature: bool, merge_request: bool) -> None:
    assert [is_true(expression, one) for one in (MAIN, FEATURE, MERGE_REQUEST)] == [
        main,
        feature,
        merge_request,
    ]


def test_the_first_rule_that_matches_decides() -> None:
    rules = [
        {"if": '$CI_PIPELINE_SOURCE == "merge_request_event"', "when": "never"},
        {"if": "$CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH", "when": "manual"},
        {"when": "never"},
    ]
    assert [is_let_in(rules, one) for one in (MAIN, FEATURE, MERGE_REQUEST)] == [True, False, False]
    assert not is_let_in([], MAIN)


def test_only_names_branches_merge_requests_and_patterns() -> None:
    assert runs_by_only(["main"], MAIN)
    assert not runs_by_only(["main"], FEATURE)
    assert runs_by_only({"refs": ["merge_requests"]}, MERGE_REQUEST)
    assert not runs_by_only(["merge_requests"], MAIN)
    assert runs_by_only(["/^feat.*$/"], FEATURE)
    assert runs_by_only({"changes": ["a"]}, MAIN)
