"""Whether GitLab would put a job into a pipeline: `rules` and `only` tried on made-up pipelines.

Source: https://docs.gitlab.com/ci/jobs/job_rules/ (the first rule that matches decides; its expressions know
``==``, ``!=``, ``=~``, ``!~``, ``&&``, ``||`` and parentheses; a variable that is not set is null).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["MERGE_REQUEST", "PUSHES", "is_let_in", "is_true", "runs_by_only"]

_COMMON = {"CI": "true", "GITLAB_CI": "true", "CI_DEFAULT_BRANCH": "main", "CI_COMMIT_REF_PROTECTED": "false"}
PUSHES: tuple[Mapping[str, str], ...] = tuple(
    {**_COMMON, "CI_PIPELINE_SOURCE": "push", "CI_COMMIT_BRANCH": name, "CI_COMMIT_REF_NAME": name}
    for name in ("main", "feature")
)
"""Variables of pipelines for a push to the default branch and to another one."""
MERGE_REQUEST: Mapping[str, str] = {
    **_COMMON,
    "CI_PIPELINE_SOURCE": "merge_request_event",
    "CI_MERGE_REQUEST_ID": "1",
    "CI_MERGE_REQUEST_IID": "1",
    "CI_MERGE_REQUEST_TARGET_BRANCH_NAME": "main",
    "CI_MERGE_REQUEST_SOURCE_BRANCH_NAME": "feature",
    "CI_COMMIT_REF_NAME": "feature",
}
"""Variables of a pipeline for a merge request."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<word>&&|\|\||==|!=|=~|!~|[()])|\$\{?(?P<name>\w+)\}?|(?P<quote>["'])(?P<text>.*?)(?P=quote)"""
    r"""|/(?P<pattern>(?:\\.|[^/])*)/(?P<flags>[im]*)|(?P<null>null)\b)""",
    re.DOTALL,
)


def is_let_in(rules: Any, variables: Mapping[str, str]) -> bool:
    """Whether `rules`, of a job or of the workflow, take a pipeline with these variables."""
    for rule in rules if isinstance(rules, list) else ():
        if isinstance(rule, Mapping) and is_true(str(rule.get("if", "")), variables):
            return rule.get("when") != "never"
    return False


def runs_by_only(only: Any, variables: Mapping[str, str]) -> bool:
    """The same for the older keyword `only`, whose default is branches and tags."""
    refs = only.get("refs", ["branches"]) if isinstance(only, Mapping) else only
    names = [refs] if isinstance(refs, str) else [str(ref) for ref in refs or []]
    branch = variables.get("CI_COMMIT_BRANCH")
    if branch is None:
        return "merge_requests" in names
    patterns = [name[1 : name.rindex("/")] for name in names if name.startswith("/") and name.count("/") > 1]
    return "branches" in names or branch in names or any(re.search(one, branch) for one in patterns)


def is_true(expression: str, variables: Mapping[str, str]) -> bool:
    """What an expression of `if` comes to; what cannot be read counts as true, as it may be.

    An empty expression is true: such a rule has no condition, or one on files.
    """
    if not expression.strip():
        return True
    tokens = _tokens(expression)
    if None in tokens:
        return True
    try:
        return _Expression(tokens, variables).either()
    except (IndexError, re.error):
        return True


def _tokens(expression: str) -> Sequence[re.Match[str] | None]:
    found: list[re.Match[str] | None] = []
    at = 0
    while at < len(expression.rstrip()):
        match = _TOKEN.match(expression, at)
        found.append(match)
        if match is None:
            break
        at = match.end()
    return found


class _Expression:
    """Recursive descent: or, and, comparison."""

    def __init__(self, tokens: Sequence[Any], variables: Mapping[str, str]) -> None:
        self._tokens = tokens
        self._variables = variables
        self._at = 0

    def either(self) -> bool:
        answer = self._both()
        while self._take("||"):
            other = self._both()
            answer = answer or other
        return answer

    def _both(self) -> bool:
        answer = self._compare()
        while self._take("&&"):
            other = self._compare()
            answer = answer and other
        return answer

    def _compare(self) -> bool:
        if self._take("("):
            answer = self.either()
            self._take(")")
            return answer
        left = self._value()
        for word in ("==", "!=", "=~", "!~"):
            if self._take(word):
                return self._relate(word, left)
        return bool(left)

    def _relate(self, word: str, left: str | None) -> bool:
        token = self._tokens[self._at]
        if word in ("==", "!="):
            return (left == self._value()) == (word == "==")
        self._at += 1
        pattern = token["pattern"]
        if pattern is None:  # a variable that holds a pattern
            return True
        flags = re.IGNORECASE if "i" in (token["flags"] or "") else 0
        found = left is not None and re.search(pattern, left, flags) is not None
        return found == (word == "=~")

    def _value(self) -> str | None:
        token = self._tokens[self._at]
        self._at += 1
        if token["name"]:
            return self._variables.get(token["name"])
        text: str | None = token["text"]
        return text

    def _take(self, word: str) -> bool:
        if self._at < len(self._tokens) and self._tokens[self._at]["word"] == word:
            self._at += 1
            return True
        return False
