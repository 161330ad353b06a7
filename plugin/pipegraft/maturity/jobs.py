"""Jobs of a GitLab pipeline or a Jenkinsfile in the same words: a signal need not know which it is.

Whether GitLab would put a job into a pipeline is told by trying its `rules` and `only` on made-up pipelines.
Source: https://docs.gitlab.com/ci/jobs/job_rules/ (the first rule that matches decides; its expressions know
``==``, ``!=``, ``=~``, ``!~``, ``&&``, ``||`` and parentheses; a variable that is not set is null).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from pipegraft.ci.gitlab.configuration import Files, Layer, layers_of
from pipegraft.ci.gitlab.pipeline import resolve
from pipegraft.ci.jenkins.outline import outline
from pipegraft.core.errors import PipegraftError, Place
from pipegraft.maturity.model import Ci, Job
from pipegraft.text.groovy import Script, parse

__all__ = ["MERGE_REQUEST", "PUSHES", "gitlab_ci", "is_let_in", "is_true", "jenkins_ci", "runs_by_only"]

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
_SHELLS = frozenset({"sh", "bat", "powershell", "pwsh"})


def gitlab_ci(
    file: str, text: str, read: Callable[[str], str | None], find: Callable[[str], Sequence[str]]
) -> Ci:
    """A GitLab pipeline with what it includes from the same repository."""
    try:
        layers = layers_of(file, text, Files(read, find))
        pipeline = resolve(layers)
    except PipegraftError as error:
        return Ci("gitlab", file, problem=str(error.problems[0]))
    workflow = pipeline.settings.get("workflow")
    jobs = tuple(
        _gitlab_job(name, value, workflow, _place(name, layers, read))
        for name, value in pipeline.jobs.items()
        if not name.startswith(".") and isinstance(value, Mapping)
    )
    return Ci("gitlab", file, jobs, pipeline.settings, opaque=pipeline.opaque)


def _gitlab_job(name: str, value: Mapping[str, Any], workflow: Any, place: Place) -> Job:
    rules = value.get("rules")
    flow = workflow.get("rules") if isinstance(workflow, Mapping) else None
    environment = value.get("environment")
    image = value.get("image")
    return Job(
        name,
        place,
        tuple(_lines(value.get("before_script"), value.get("script"), value.get("after_script"))),
        str((image.get("name") if isinstance(image, Mapping) else image) or ""),
        str((environment.get("name") if isinstance(environment, Mapping) else environment) or ""),
        _is_manual(value, rules),
        "timeout" in value,
        any(_runs(value, flow, variables) for variables in PUSHES),
        _runs(value, flow, MERGE_REQUEST),
        value.get("allow_failure") not in (None, False),
        dict(value),
    )


def _lines(*parts: Any) -> Iterable[str]:
    for part in parts:
        if isinstance(part, str):
            yield from part.splitlines()
        elif isinstance(part, list):
            yield from _lines(*part)


def _is_manual(value: Mapping[str, Any], rules: Any) -> bool:
    if value.get("when") == "manual":
        return True
    return isinstance(rules, list) and any(
        isinstance(rule, Mapping) and rule.get("when") == "manual" for rule in rules
    )


def _runs(value: Mapping[str, Any], flow: Any, variables: Mapping[str, str]) -> bool:
    """Whether a job gets into a pipeline with these variables."""
    if flow is not None and not is_let_in(flow, variables):
        return False
    if "rules" in value:
        return is_let_in(value["rules"], variables)
    if "only" in value:
        return runs_by_only(value["only"], variables)
    return flow is not None or "CI_COMMIT_BRANCH" in variables  # without rules: no merge request pipelines


def _place(name: str, layers: Sequence[Layer], read: Callable[[str], str | None]) -> Place:
    """Where a job is written: the strongest layer that has its key."""
    for layer in reversed(layers):
        if layer.file and name in layer.values:
            found = re.search(rf"^[\"']?{re.escape(name)}[\"']?\s*:", read(layer.file) or "", re.MULTILINE)
            line = (read(layer.file) or "").count("\n", 0, found.start()) + 1 if found else 0
            return Place(layer.file, line)
    return Place(layers[-1].file)


def jenkins_ci(file: str, text: str) -> Ci:
    """The stages of a Jenkinsfile; which branches and merge requests it runs for is not in the file."""
    try:
        script = parse(text, file)
        stages = outline(script).stages
    except PipegraftError as error:
        return Ci("jenkins", file, problem=str(error.problems[0]))
    words = {script.word(index) for index in range(len(script.code))}
    settings: dict[str, Any] = dict.fromkeys(words & {"timeout", "disableConcurrentBuilds", "junit"}, True)
    whole = _limited_as_a_whole(script)
    jobs: list[Job] = []
    for number, stage in enumerate(stages):
        end = stages[number + 1].at if number + 1 < len(stages) else len(script.code)
        span = range(stage.at, end)
        inside = [script.word(index) for index in span]
        jobs.append(
            Job(
                stage.name,
                Place(file, script.place(stage.at).line),
                tuple(_commands(script, span)),
                _agent_image(script, span),
                manual="input" in inside,
                limited=whole or "timeout" in inside,
                may_fail="catchError" in inside,
            )
        )
    return Ci("jenkins", file, tuple(jobs), settings)


def _commands(script: Script, span: range) -> Iterable[str]:
    """What shell steps run, as far as it is written out."""
    for index in span:
        if script.word(index) not in _SHELLS:
            continue
        at = index + 1
        while script.word(at) in ("(", "script", ":", "label"):
            at += 1
        line = script.string(at)
        if line is None and at < len(script.code):
            word = script.word(at)
            line = word.strip("\"'") if word[:1] in ("'", '"') else None
        if line:
            yield from (part.strip() for part in line.splitlines() if part.strip())


def _agent_image(script: Script, span: range) -> str:
    for index in span:
        if script.word(index) == "image" and (found := script.string(index + 1)):
            return found
    return ""


def _limited_as_a_whole(script: Script) -> bool:
    """Whether ``timeout`` stands in the options of the pipeline, ahead of its stages."""
    words = [script.word(index) for index in range(len(script.code))]
    if "options" not in words or "stages" not in words:
        return "timeout" in words[: words.index("stage")] if "stage" in words else False
    start = words.index("options")
    return "timeout" in words[start : words.index("stages", start)] if "stages" in words[start:] else False


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
