"""Whether a rule holds, as far as it can be known from here: yes, no, or it depends.

Sources: https://docs.gitlab.com/ci/jobs/job_rules/ for expressions, https://docs.gitlab.com/ci/yaml/#rules
and https://docs.gitlab.com/ci/yaml/deprecated_keywords/ for the two ways a job says when it runs. An answer
is True, False, or None where it depends on what only the server knows: a project's variables, what a push
changed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipegraft.ci.gitlab.configuration import Reference

__all__ = [
    "DEFAULT_BRANCH",
    "OTHER_BRANCH",
    "Answer",
    "Facts",
    "Outcome",
    "all_of",
    "any_of",
    "holds",
    "outcomes",
]

Answer = bool | None

DEFAULT_BRANCH = "\0default branch"
"""Stands for the default branch's name where it is not known: set, equal to itself, else anything."""
OTHER_BRANCH = "\0another branch"
"""Stands for the name of a branch that is not the delivered one."""

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<variable>\$\{?\w+\}?)
      | (?P<text>"[^"]*"|'[^']*')
      | (?P<pattern>/(?:[^/\\]|\\.)*/[imsU]*)
      | (?P<operator>==|!=|=~|!~|&&|\|\||\(|\))
      | (?P<null>null\b)
    )""",
    re.VERBOSE,
)
_UNKNOWN = object()


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a pipeline before its jobs are chosen.

    Arguments:
        variables: what the server says: name → value; None for one that is not set. A value that begins with
            a NUL character stands for one that is set and not known. One that is missing may be set or not.
        pushed: whether the event tells which files changed.
        exists: whether the repository has a file that matches a pattern.
        delivered: the name that `OTHER_BRANCH` is not.
        given: what the configuration says; the server's word is stronger.
    """

    variables: Mapping[str, str | None]
    pushed: bool = True
    exists: Callable[[str], bool] = lambda _pattern: False
    delivered: str = DEFAULT_BRANCH
    given: Mapping[str, str | None] = field(default_factory=dict)

    def value(self, name: str) -> Any:
        """The variable's value, None if it is not set, `_UNKNOWN` if that is not known."""
        if name.startswith("CI_MERGE_REQUEST_") and name not in self.variables:
            return None if self.variables.get("CI_MERGE_REQUEST_IID") is None else f"\0{name}"
        return self.variables.get(name, self.given.get(name, _UNKNOWN))

    def with_variables(self, more: Any) -> Facts:
        """These facts and what a `variables` keyword sets, which is stronger than one outside of it."""
        if not isinstance(more, Mapping):
            return self
        written = {str(name): _written(name, value) for name, value in more.items()}
        return replace(self, given={**self.given, **written})

    def without(self, names: Collection[str]) -> Facts:
        """These facts where it is not known what the configuration says of some variables."""
        return replace(self, given={name: one for name, one in self.given.items() if name not in names})

    def equal(self, left: Any, right: Any) -> Answer:
        """Whether two values are the same."""
        if left is _UNKNOWN or right is _UNKNOWN:
            return None
        if left == right:
            return True
        if None in (left, right) or {left, right} == {self.delivered, OTHER_BRANCH}:
            return False
        return None if left.startswith("\0") or right.startswith("\0") else False


def _written(name: Any, value: Any) -> str:
    plain = value.get("value", "") if isinstance(value, Mapping) else value
    text = str(plain).lower() if isinstance(plain, bool) else str(plain)
    return f"\0{name}" if _NAMES_A_VARIABLE.search(text) else text


_NAMES_A_VARIABLE = re.compile(r"\$[\w{$]|%\w+%")  # a pattern's last `$` names none


@dataclass(frozen=True, slots=True)
class Outcome:
    """One way a job may come into a pipeline.

    Arguments:
        when: ``on_success``, ``manual``, ``always``, ``delayed``, ``on_failure``, or ``never``.
        ignored: whether the pipeline goes on where the job fails.
        depends: the condition it hangs on; empty if it comes about in any case.
        variables: what the rule sets.
    """

    when: str
    ignored: bool = False
    depends: str = ""
    variables: Mapping[str, Any] = field(default_factory=dict)


def all_of(answers: Sequence[Answer]) -> Answer:
    """Whether all hold."""
    if False in answers:
        return False
    return None if None in answers else True


def any_of(answers: Sequence[Answer]) -> Answer:
    """Whether any holds."""
    if True in answers:
        return True
    return None if None in answers else False


def holds(expression: str, facts: Facts) -> Answer:
    """Whether an expression of `rules:if` holds; None also for one that GitLab could not read."""
    try:
        reader = _Reader(list(_tokens(expression)), facts)
        answer = reader.alternatives()
    except (ValueError, IndexError):
        return None
    return answer if reader.done else None


def _tokens(expression: str) -> Iterator[tuple[str, str]]:
    at = 0
    text = expression.rstrip()
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise ValueError(text[at:])
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


class _Reader:
    """Reads an expression from its tokens; ``&&`` binds closer than ``||``."""

    def __init__(self, tokens: Sequence[tuple[str, str]], facts: Facts) -> None:
        self._tokens = tokens
        self._facts = facts
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at == len(self._tokens)

    def alternatives(self) -> Answer:
        answers = [self._conjunction()]
        while self._skip("||"):
            answers.append(self._conjunction())
        return any_of(answers)

    def _conjunction(self) -> Answer:
        answers = [self._comparison()]
        while self._skip("&&"):
            answers.append(self._comparison())
        return all_of(answers)

    def _comparison(self) -> Answer:
        if self._skip("("):
            answer = self.alternatives()
            if not self._skip(")"):
                raise ValueError("an open parenthesis")
            return answer
        left = self._operand()
        for operator in ("==", "!=", "=~", "!~"):
            if self._skip(operator):
                right = self._operand()
                answer = self._facts.equal(left, right) if operator[1] == "=" else _matches(left, right)
                return _negated(answer) if operator[0] == "!" else answer
        return _is_set(left)

    def _skip(self, operator: str) -> bool:
        found = not self.done and self._tokens[self._at] == ("operator", operator)
        self._at += found
        return found

    def _operand(self) -> Any:
        kind, text = self._tokens[self._at]
        self._at += 1
        if kind == "variable":
            return self._facts.value(text.strip("${}"))
        if kind == "text":
            return text[1:-1]
        if kind == "null":
            return None
        if kind == "pattern":
            return text
        raise ValueError(text)


def _negated(answer: Answer) -> Answer:
    return None if answer is None else not answer


def _is_set(value: Any) -> Answer:
    return None if value is _UNKNOWN else bool(value)


def _matches(value: Any, pattern: Any) -> Answer:
    if value is None or pattern is None:
        return False
    if _UNKNOWN in (value, pattern) or value.startswith("\0") or pattern.startswith("\0"):
        return None
    return _search(pattern, value)


def _search(pattern: str, value: str) -> Answer:
    written = re.fullmatch(r"/(.*)/([imsU]*)", pattern, re.DOTALL)
    if written is None:
        return None
    flags = sum({"i": re.IGNORECASE, "m": re.MULTILINE, "s": re.DOTALL}.get(flag, 0) for flag in written[2])
    try:
        return re.search(written[1].replace("\\/", "/"), value, flags) is not None
    except re.error:
        return None


def outcomes(job: Mapping[str, Any], facts: Facts) -> tuple[Outcome, ...]:
    """The ways a job may come into a pipeline; more than one where it depends on what is not known.

    Arguments:
        job: everything in force for it; `workflow` can be asked about in the same way.
        facts: what is known of the pipeline.
    """
    facts = facts.with_variables(job.get("variables"))
    when = str(job.get("when") or "on_success")
    if isinstance(job.get("rules"), list):
        return tuple(_by_rules(job, when, facts))
    plain = Outcome(when, _ignored(job, when))
    chosen, depends = _by_refs(job, facts), "'only' and 'except'"
    if isinstance(job.get("rules"), Reference) or ("extends" in job and not {"only", "except"} & job.keys()):
        chosen, depends = None, f"unknown: {_unread(job)} not read"
    if chosen is None:
        return (replace(plain, depends=depends), Outcome("never", depends=depends))
    return (plain,) if chosen else (Outcome("never"),)


def _unread(job: Mapping[str, Any]) -> str:
    """What a job extends or refers to, and no file that can be read defines."""
    rules = job.get("rules")
    return str(rules) if isinstance(rules, Reference) else f"'{job['extends'][0]}'"


def _ignored(job: Mapping[str, Any], when: str) -> bool:
    allowed = job.get("allow_failure")
    if allowed is None:
        return when == "manual"
    return allowed is True


def _by_rules(job: Mapping[str, Any], when: str, facts: Facts) -> Iterator[Outcome]:
    depends = ""
    for written in _flat(job["rules"]):
        rule = written if isinstance(written, Mapping) else {}
        answer = _rule_holds(rule, facts) if rule or written == {} else None
        if answer is False:
            continue
        if isinstance(written, Reference):
            depends = depends or f"unknown: {written} not read"
            yield Outcome("never", depends=depends)
        allowed = rule.get("allow_failure")
        ignored = _ignored(job, when) if allowed is None else allowed is True
        depends = depends or ("" if answer else _said(rule))
        variables = rule.get("variables")
        given = variables if isinstance(variables, Mapping) else {}
        yield Outcome(str(rule.get("when") or when), ignored, depends, given)
        if answer:
            return
    yield Outcome("never", depends=depends)


def _flat(rules: Sequence[Any]) -> Iterator[Any]:
    for rule in rules:
        if isinstance(rule, list):
            yield from _flat(rule)
        else:
            yield rule


def _said(rule: Mapping[str, Any]) -> str:
    return next((f"{key}: {rule[key]}" for key in ("if", "changes", "exists") if key in rule), "a rule")


def _rule_holds(rule: Mapping[str, Any], facts: Facts) -> Answer:
    answers: list[Answer] = []
    if "if" in rule:
        answers.append(holds(str(rule["if"]), facts) if isinstance(rule["if"], str) else None)
    if "changes" in rule:
        compared = isinstance(rule["changes"], Mapping) and "compare_to" in rule["changes"]
        answers.append(None if facts.pushed or compared else True)
    if "exists" in rule:
        answers.append(_exists(rule["exists"], facts))
    return all_of(answers)


def _exists(wanted: Any, facts: Facts) -> Answer:
    if isinstance(wanted, Mapping):
        if "project" in wanted:
            return None
        wanted = wanted.get("paths")
    patterns = wanted if isinstance(wanted, list) else [wanted]
    if any(not isinstance(pattern, str) or "$" in pattern for pattern in patterns):
        return None
    return any(facts.exists(pattern) for pattern in patterns)


def _by_refs(job: Mapping[str, Any], facts: Facts) -> Answer:
    only, excepted = _policy(job.get("only")), _policy(job.get("except"))
    only.setdefault("refs", ["branches", "tags"])  # also where `only` names other conditions alone
    wanted = all_of([_policy_part(key, value, facts) for key, value in only.items()])
    barred = any_of([_policy_part(key, value, facts) for key, value in excepted.items()])
    return all_of([wanted, _negated(barred)])


def _policy(written: Any) -> dict[str, Any]:
    if written is None:
        return {}
    if isinstance(written, Mapping):
        return {key: value for key, value in written.items() if value is not None}
    return {"refs": written}


def _policy_part(key: str, value: Any, facts: Facts) -> Answer:
    values = value if isinstance(value, list) else [value]
    if key == "refs":
        return any_of([_ref(str(one), facts) for one in values])
    if key == "variables":
        return any_of([holds(str(one), facts) for one in values])
    if key == "changes":
        return None if facts.pushed else True
    return None  # kubernetes: whether the project has a cluster


def _ref(wanted: str, facts: Facts) -> Answer:
    """Whether a name of `only:refs` or `except:refs` fits."""
    name, at, _path = wanted.partition("@") if not wanted.startswith("/") else (wanted, "", "")
    if at:  # holds in the project of that path alone
        return None if _ref(name, facts) is not False else False
    branch, tag = facts.value("CI_COMMIT_BRANCH"), facts.value("CI_COMMIT_TAG")
    if name in ("branches", "tags"):
        return _is_set(branch if name == "branches" else tag)
    source = facts.value("CI_PIPELINE_SOURCE")
    known = "merge_request" if source == "merge_request_event" else str(source)
    if name in _SOURCES:
        return name == f"{known}es" if known == "push" else name in (f"{known}s", known)
    ref = branch or tag
    if not ref:
        return False  # the ref of a merge request is no branch
    return _matches(ref, name) if name.startswith("/") else facts.equal(ref, name)


_SOURCES = frozenset(
    {
        *("api", "chat", "external", "external_pull_requests", "merge_requests", "pipelines"),
        *("pushes", "schedules", "triggers", "web"),
    }
)
