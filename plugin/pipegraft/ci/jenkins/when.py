"""When delivery runs on Jenkins: which builds deliver, behind which stages, and what stands around delivery.

Sources of what starts a build: the variables of Jenkins' branch sources (CHANGE_ID, TAG_NAME,
BRANCH_IS_PRIMARY) and of the plugins that build changes before they are merged: GitHub pull request builder,
GitLab, Gerrit trigger, Bitbucket push and pull request, Bitbucket and Stash pull request builder,
Phabricator. Of what a pipeline says: https://www.jenkins.io/doc/book/pipeline/syntax/ .
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from pipegraft.ci.hooks import EventRow, pattern_of
from pipegraft.ci.jenkins.stages import AFTER_FAILURE, Outline, block_of, is_quiet, section
from pipegraft.core.errors import EditRefused
from pipegraft.text.groovy import Script, Span

__all__ = ["CHANGES", "TIMERS", "Surroundings", "event_rows", "surroundings"]

CHANGES = (
    *("CHANGE_ID", "ghprbPullId", "gitlabMergeRequestIid", "gitlabMergeRequestId"),
    *("BITBUCKET_PULL_REQUEST_ID", "pullRequestId", "PULL_REQUEST_ID", "DIFF_ID"),
)
"""Variables that are set where a change is built before it is merged."""
TIMERS = (
    "hudson.triggers.TimerTrigger$TimerTriggerCause",
    "org.jenkinsci.plugins.parameterizedscheduler.ParameterizedTimerTriggerCause",
)
"""Causes of builds that nobody and no commit started."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What stands around delivery.

    Arguments:
        behind: the team's stages that come before it, without those that no build that delivers runs.
        depends: what else must hold for delivery to run, a clause; empty if nothing must.
        notes: what takes hold of delivery, one sentence each.
    """

    behind: tuple[str, ...] = ()
    depends: str = ""
    notes: tuple[str, ...] = ()


def surroundings(script: Script, shape: Outline, at: int, branch: str, longest: float) -> Surroundings:
    """What stands around a place of the team's pipeline.

    Arguments:
        script: the team's file.
        shape: its outline.
        at: offset of the place.
        branch: the branch that is delivered, empty where Jenkins knows it alone.
        longest: seconds that the plan may take by its own limits; 0 if unknown.

    Raises:
        EditRefused: no build that delivers comes there.
    """
    around = _enclosing(script, at)
    depends = ""
    for brace in around:
        runs, what = _runs(script, brace, branch)
        if runs is False:
            raise EditRefused(
                f"delivery would never run: {what} keeps every build that may deliver away from it",
                place=script.place(brace),
                fix="name with --after a stage outside of it",
            )
        depends = depends or (what if runs is None else "")
    earlier = [one for one in shape.stages if script.code[one.at].start < at]
    behind = tuple(
        one.name
        for one in earlier
        if one.holder not in AFTER_FAILURE
        and not any(_runs(script, brace, branch)[0] is False for brace in _around_stage(script, one.at))
    )
    declared = around if shape.syntax == "declarative" else ()
    notes = [note for brace in declared for note in _of_block(script, brace, longest)]
    notes += _hidden(script, at)
    if not behind:
        notes.append(
            "None of your stages before delivery runs in a build that delivers."
            if earlier
            else "No stage of yours stands before delivery: nothing that is known here tests what it ships."
        )
    return Surroundings(behind, depends, tuple(notes))


def _enclosing(script: Script, at: int) -> tuple[int, ...]:
    """Braces around an offset, the outermost first."""
    return tuple(
        sorted(
            index
            for index, partner in script.partner.items()
            if script.code[index].start < at <= script.code[partner].start and script.word(index) == "{"
        )
    )


def _around_stage(script: Script, stage: int) -> Iterator[int]:
    """Braces around what a stage does, its own among them."""
    yield from _enclosing(script, script.code[stage].end)
    if script.word(stage + 1) == "(":
        brace = script.skip_newlines(script.partner[stage + 1] + 1)
        if script.word(brace) == "{":
            yield brace


def _opener(script: Script, brace: int) -> int:
    """Index of the word before a brace, or before the parentheses before it."""
    index = brace - 1
    while index > 0 and script.code[index].kind == "newline":
        index -= 1
    return script.partner[index] - 1 if script.word(index) == ")" else index


def _runs(script: Script, brace: int, branch: str) -> tuple[bool | None, str]:
    """Whether a build that delivers enters a block, None where that cannot be known; and what decides."""
    opener = _opener(script, brace)
    word, line = script.word(opener), script.place(brace).line
    if word in ("if", "else", "switch"):
        said = script.source(Span(opener + 2, script.partner[opener + 1] - 1)) if word == "if" else ""
        return _said_of_build(said, branch), f"'{word}' at line {line}"
    when = section(script, script.inside(brace), "when") if word == "stage" else None
    inside = block_of(script, when) if when else None
    if when is None or inside is None:
        return True, ""
    return _all(script, inside, branch), f"'when' at line {script.place(when.first).line}"


def _all(script: Script, block: Span, branch: str) -> bool | None:
    return _every([_condition(script, one, branch) for one in script.statements(block)])


def _every(answers: Sequence[bool | None]) -> bool | None:
    return False if False in answers else None if None in answers else True


def _some(answers: Sequence[bool | None]) -> bool | None:
    return True if True in answers else None if None in answers else False


_UNSET = re.compile(rf"(!?)\s*(?:env\.)?(?:TAG_NAME|{'|'.join(CHANGES)})(?:\s*([!=])=\s*null)?")
_NAMED = re.compile(r"(?:env\.)?BRANCH_NAME\s*([!=])=\s*(['\"])([^'\"$]*)\2")


def _said_of_build(written: str, branch: str) -> bool | None:
    """Whether a condition in Groovy holds in a build that delivers: of the branch, no change and no tag."""
    if "(" in written:
        return None
    return _some([_every([_asked(one, branch) for one in part.split("&&")]) for part in written.split("||")])


def _asked(written: str, branch: str) -> bool | None:
    written = written.strip().removeprefix("return ")
    if (unset := _UNSET.fullmatch(written)) and not (unset[1] and unset[2]):
        return (unset[2] == "=") if unset[2] else bool(unset[1])
    named = _NAMED.fullmatch(written)
    return (named[3] == branch) == (named[1] == "=") if named and branch else None


_NEVER = frozenset({"changeRequest", "buildingTag", "tag"})
"""Conditions that hold in no build that delivers."""
_BRANCH = re.compile(r"branch[\s(]*(?:pattern\s*:\s*)?(['\"])([^'\"$]*)\1\s*\)?")
_ORDER = frozenset({"beforeAgent", "beforeInput", "beforeOptions"})


def _condition(script: Script, statement: Span, branch: str) -> bool | None:
    """Whether a condition of `when` holds in a good build of the delivered branch."""
    word = script.word(statement.first)
    inside = block_of(script, statement)
    if word in _ORDER:
        return True
    if word in _NEVER:
        return False
    if word == "branch":
        pattern = _BRANCH.fullmatch(script.source(statement))
        return bool(pattern_of(pattern[2]).fullmatch(branch)) if pattern and branch else None
    if inside is None or word not in ("not", "allOf", "anyOf", "expression"):
        return None
    if word == "expression":
        return _said_of_build(script.source(inside).strip(), branch)
    answers = [_condition(script, one, branch) for one in script.statements(inside)]
    if word == "anyOf":
        return _some(answers)
    every = _every(answers)
    return every if word == "allOf" or every is None else not every


_UNITS = {"SECONDS": 1.0, "MINUTES": 60.0, "HOURS": 3600.0, "DAYS": 86400.0}
_SHELLS = frozenset({"sh", "bat", "powershell", "pwsh"})
_JUDGES = frozenset(
    {"junit", "xunit", "recordIssues", "testNG", "cucumber", "nunit", "robot", "unstable", "error"}
)
_ELSEWHERE = " set it on the stages that need it."


def _of_block(script: Script, brace: int, longest: float) -> Iterator[str]:
    """What a Declarative pipeline, or a group of stages, lays on everything in it."""
    if script.word(_opener(script, brace)) not in ("pipeline", "stage"):
        return
    block = script.inside(brace)
    options = section(script, block, "options")
    if options and (inside := block_of(script, options)):
        yield from _of_deadline(script, inside, longest)
        yield from _of_options(script, inside)
    yield from _of_secrets(script, block)
    yield from _of_agent(script, block)
    yield from _of_post(script, block)


def _of_deadline(script: Script, options: Span, longest: float) -> Iterator[str]:
    """A timeout that may end before delivery does; one that any line of the log puts off is none."""
    found = section(script, options, "timeout")
    source = script.source(found) if found else ""
    if found is None or re.search(r"activity\s*:\s*true", source):
        return
    time, unit = re.search(r"(?:time\s*:|\()\s*(\d+)", source), re.search(r"unit\s*:\s*['\"](\w+)", source)
    seconds = float(time[1]) * _UNITS.get(unit[1] if unit else "MINUTES", 0.0) if time else 0.0
    if longest > seconds:
        given = f"after {seconds / 60:.0f} min" if seconds else "after a time that cannot be read from here"
        yield (
            f"{script.place(found.first)}: 'timeout' ends the build {given}, and by its own limits delivery "
            f"may take {longest / 60:.0f} min:{_ELSEWHERE}"
        )


_OPTIONS = {
    "lock": "'lock' is held until delivery has ended",
    "retry": "'retry' starts everything again where delivery fails",
    "disableConcurrentBuilds": "'abortPrevious' lets a newer build end this one in the middle of a delivery",
}
"""Options that take hold of delivery as well."""


def _of_options(script: Script, options: Span) -> Iterator[str]:
    for name, effect in _OPTIONS.items():
        found = section(script, options, name)
        aborts = found and re.search(r"abortPrevious\s*:\s*true", script.source(found))
        if found and (aborts or name != "disableConcurrentBuilds"):
            yield f"{script.place(found.first)}: {effect}:{_ELSEWHERE}"


def _of_secrets(script: Script, block: Span) -> Iterator[str]:
    environment = section(script, block, "environment")
    inside = block_of(script, environment) if environment else None
    held = [
        one
        for one in (script.statements(inside) if inside else ())
        if any(script.word(index) == "credentials" for index in range(*one))
    ]
    if held:
        names = ", ".join(script.word(one.first) for one in held)
        yield (
            f"{script.place(held[0].first)}: 'environment' gives your secrets to delivery, too ({names}):"
            f"{_ELSEWHERE}"
        )


_CONTAINERS = frozenset({"docker", "dockerfile", "kubernetes"})


def _of_agent(script: Script, block: Span) -> Iterator[str]:
    agent = section(script, block, "agent")
    inside = block_of(script, agent) if agent else None
    found = section(script, inside, *_CONTAINERS) if inside else None
    if found:
        yield (
            f"{script.place(found.first)}: delivery runs in it, too, and needs git and pipegraft there: "
            "'agent none', and an agent for each stage that needs this one, keep it out."
        )


def _of_post(script: Script, block: Span) -> Iterator[str]:
    """The first step of a `post` that judges a good build, and the first that may."""
    post = section(script, block, "post")
    told: set[bool] = set()
    for condition in script.statements(block_of(script, post) or Span(1, 0)) if post else ():
        if script.word(condition.first) not in ("always", "success", "changed", "fixed"):
            continue
        for index in range(condition.first, condition.last + 1):
            word = script.word(index)
            judges = word in _JUDGES
            if script.code[index].kind != "word" or not (judges or word in _SHELLS) or judges in told:
                continue
            told.add(judges)
            yield f"{script.place(index)}: '{word}' in the 'post' around delivery " + (
                "judges the build after it: move it into the 'post' of the stage whose results it reads, "
                "or a bad build is delivered."
                if judges
                else "runs after it: what judges the build or ships something belongs into a stage."
            )


_HIDING = frozenset({"catch", "catchError", "build"})


def _hidden(script: Script, at: int) -> Iterator[str]:
    """What hides a failure before delivery, so that the build that delivers looks good."""
    found = [index for index in range(len(script.code)) if script.word(index) in _HIDING]
    for index in found:
        word, place = script.word(index), script.place(index)
        before = script.code[index].start < at
        said = _call(script, index) if before else ""
        unwaited = re.search(r"\b(wait|propagate)\s*:\s*false", said)
        if word == "catch" and _lets_pass(script, index, at):
            yield (
                f"{place}: this 'catch' lets the build go on as if nothing had failed: what fails in its "
                "'try', a delivery there too, leaves a good build; let it throw or set currentBuild.result."
            )
        elif word == "catchError" and re.search(r"buildResult\s*:\s*(null|['\"]SUCCESS['\"])", said):
            yield (
                f"{place}: this 'catchError' leaves the build good whatever fails in it, and delivery "
                "follows: leave out 'buildResult', or let it be 'UNSTABLE'."
            )
        elif word == "build" and unwaited and re.search(r"\bjob\s*:", said):
            yield f"{place}: '{unwaited[0]}' lets delivery go on whatever that job finds."


def _call(script: Script, index: int) -> str:
    """The source of a call's arguments: its parentheses, or the rest of its line."""
    if script.word(index + 1) == "(":
        return script.source(Span(index + 1, script.partner[index + 1]))
    last = index
    while last + 1 < len(script.code) and script.code[last + 1].kind not in ("newline", "close"):
        last += 1
    return script.source(Span(index, last))


def _lets_pass(script: Script, catch: int, at: int) -> bool:
    """Whether a `catch` hides what failed in a `try` that begins before an offset and does something."""
    brace = script.skip_newlines(script.partner.get(catch + 1, catch) + 1)
    end = catch - 1
    while script.code[end].kind == "newline":
        end -= 1
    if script.word(brace) != "{" or script.word(end) != "}" or script.code[script.partner[end]].start >= at:
        return False
    tried = {script.word(index) for index in range(script.partner[end], end)}
    return bool(tried & (_SHELLS | _JUDGES | {"stage", "build"})) and is_quiet(script, brace)


def event_rows(found: Surroundings, branch: str, *, timers: bool) -> tuple[EventRow, ...]:
    """The table of builds.

    Arguments:
        found: what stands around delivery.
        branch: the delivered branch, empty where Jenkins knows it alone.
        timers: whether the calls let a timer's build deliver.
    """
    named = branch or "the primary branch"

    def delivers(event: str, name: str) -> EventRow:
        row = EventRow(event, name, "yes", "yes", found.behind)
        return replace(row, delivery="maybe", why=f"{found.depends} decides") if found.depends else row

    def does_not(event: str, name: str, why: str) -> EventRow:
        return EventRow(event, name, "yes", "no", why=why)

    return (
        delivers("push", f"push to {named}"),
        does_not("push-elsewhere", "push to another branch", f"{named} alone is delivered"),
        does_not("merge-request", "change request", "it is not merged"),
        does_not("tag", "tag", "branches alone are delivered"),
        delivers("schedule", "timer")
        if timers
        else does_not("schedule", "timer", "timers: true lets it deliver"),
        delivers("web", "started by hand"),
        delivers("upstream", "started by another job"),
        does_not("not-good", "unstable, failed or aborted so far", "only a good build is delivered"),
    )
