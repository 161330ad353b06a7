"""Injects a plan's stages into a Jenkinsfile and ejects them: pure, and proven before it is answered."""

from __future__ import annotations

import difflib
import re

from pipegraft.ci.jenkins.grafts import (
    PREFIX,
    Call,
    Graft,
    find_grafts,
    is_step,
    line_end,
    literal,
    place,
    planned_calls,
    read_call,
    slot_behind,
    take_out,
)
from pipegraft.ci.jenkins.library import drop_library, library_version, pin_library
from pipegraft.ci.jenkins.outline import outline
from pipegraft.ci.jenkins.stages import ComesWhole, Outline, stage_behind
from pipegraft.ci.jenkins.when import event_rows, surroundings
from pipegraft.ci.model import Injection, InjectionRequest
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.text.groovy import Script, Statement, parse

__all__ = ["eject", "inject"]

_VERSION = re.compile(r"v?\d+\.\d+\.\d+.*")


def inject(request: InjectionRequest) -> Injection:
    """Add a plan's stages to a Jenkinsfile, or bring those it has up to the plan and the version.

    Mode `include` adds one stage for each planned stage, `child` a single one for the whole plan.
    Stages that are there keep their place, their title and what people added to their arguments,
    as long as the plan has the same ones and nobody asks for another place.

    Raises:
        EditRefused: the file is no pipeline, or not one that can be edited exactly; or delivery would never
            run.
        UsageError: an input or the version cannot be written in Groovy.
    """
    script = parse(request.text, request.file)
    grafts = find_grafts(script)
    own = _own_calls(script, grafts)
    if not grafts and not own and library_version(script) is not None:
        raise EditRefused(
            f"expected a file without delivery, found the library '{PREFIX}' loaded and no stage of it",
            place=Place(request.file),
            fix="run pipegraft eject, or take the library out of @Library: injecting loads it again",
        )
    team_text, slot = take_out(request.text, grafts)
    team = parse(team_text, request.file) if grafts else script
    try:
        shape = outline(team)
    except ComesWhole as elsewhere:
        raise _offered(request, team, elsewhere) from None
    known = {graft.call.key: graft.call for graft in grafts}
    wanted = _wanted(request, shape, whole=_is_whole(request, grafts))
    defaults = {"branch": literal(request.default_branch)} if request.default_branch else {}
    calls = [call.tuned_as(known.get(call.key), defaults) for call in wanted if call.key not in own]
    notes = [f"line {line} calls {key[0]} itself: left as it is" for key, line in own.items()]
    if [graft.call for graft in grafts] == calls and request.after is None:
        text = request.text
    else:
        if slot is None or request.after is not None:
            behind, said = _behind(request.after, shape, team)
            slot = slot_behind(team, behind)
            notes += said
        text = place(team_text, slot, calls, shape.syntax)
    pinned = parse(text, request.file)
    text = pin_library(pinned, _version(request, library_version(pinned)))
    names = tuple(stage.name for stage in shape.stages)
    _prove(request, text, names)
    arguments = calls[0].arguments if calls else {}
    branch = arguments.get("branch", "").strip("'\"")
    at = slot.offset if slot else len(team_text)
    if grafts and request.after is None:  # it stands: what is told names the lines that people see
        team, shape, at = script, outline(script), grafts[0].start
    around = surroundings(team, shape, at, branch, request.longest)
    return Injection(
        files={} if text == request.text else {request.file: text},
        jobs_unchanged=names,
        jobs_added=tuple(call.title for call in calls),
        notes=(*notes, *around.notes),
        events=event_rows(around, branch, timers=arguments.get("timers") == "true"),
    )


def _offered(request: InjectionRequest, script: Script, elsewhere: ComesWhole) -> EditRefused:
    """The refusal of a pipeline that comes whole from elsewhere, with the edit that a person may make."""
    branch = request.branch or request.default_branch
    call = f"{PREFIX}({f'branch: {literal(branch)}' if branch else ''})"
    end = script.end(elsewhere.call)
    edited = parse(f"{request.text[:end]}{line_end(request.text)}{call}{request.text[end:]}", request.file)
    lines = difflib.unified_diff(
        request.text.splitlines(),
        pin_library(edited, _version(request, None)).splitlines(),
        request.file,
        request.file,
        lineterm="",
    )
    name = script.word(elsewhere.call.first)
    return EditRefused(
        elsewhere.problem.message,
        place=elsewhere.problem.place,
        fix=f"call pipegraft() in the library that defines {name}, or, if "
        f"{name} comes back only when the build has ended, edit this by hand (or give delivery "
        "a Jenkinsfile of its own that this one triggers):\n" + "\n".join(lines),
    )


def eject(file: str, text: str) -> Injection:
    """Take out of a Jenkinsfile what `inject` put in; all else stays byte for byte.

    Raises:
        EditRefused: the file cannot be read as Groovy.
    """
    left, grafts, own = _without(file, text)
    notes = [
        f"line {line} calls {key[0]} itself: it stays, and so does the library" for key, line in own.items()
    ]
    try:
        names = tuple(stage.name for stage in outline(parse(left, file)).stages)
    except EditRefused:  # what is left may be no pipeline; the grafts come out all the same
        names = ()
    return Injection(
        files={} if left == text else {file: left},
        jobs_unchanged=names,
        jobs_added=tuple(graft.call.title for graft in grafts),
        notes=tuple(notes),
    )


def _without(file: str, text: str) -> tuple[str, tuple[Graft, ...], dict[tuple[str, str], int]]:
    """A text without grafts, the grafts it had, and the calls of the library that people make themselves."""
    grafts = find_grafts(parse(text, file))
    left, _ = take_out(text, grafts)
    rest = parse(left, file)
    own = _own_calls(rest, ())
    return left if own else drop_library(rest), grafts, own


def _own_calls(script: Script, grafts: tuple[Graft, ...]) -> dict[tuple[str, str], int]:
    """Keys of the library's steps that people call themselves, and the line of each."""
    own: dict[tuple[str, str], int] = {}
    for index, token in enumerate(script.code):
        if token.kind != "word" or not is_step(script.word(index)) or script.word(index + 1) != "(":
            continue
        if not any(graft.start <= token.start < graft.end for graft in grafts):
            call = read_call(script, index, "") or Call(script.word(index), "", {})
            own[call.key] = script.place(index).line
    return own


def _version(request: InjectionRequest, pinned: str | None) -> str:
    """The version to pin: one that is pinned follows the templates at hand, a branch or commit stays."""
    if request.source is not None:
        raise UsageError(
            "Jenkins takes the library from where an administrator configured it, not from where a file says",
            fix="configure the library 'pipegraft' in Jenkins (docs/jenkins.md), and give --ref alone",
        )
    if request.ref is not None:
        return request.ref
    return request.version if pinned is None or _VERSION.fullmatch(pinned) else pinned


def _is_whole(request: InjectionRequest, grafts: tuple[Graft, ...]) -> bool:
    if request.mode is None:
        return any(graft.call.step == PREFIX for graft in grafts)
    return request.mode == "child"


def _wanted(request: InjectionRequest, shape: Outline, *, whole: bool) -> list[Call]:
    runner = {
        "image": request.image or "",
        "agent": " && ".join(request.tags or ()),
        "packages": request.packages or "",
        "branch": request.branch or "",
    }
    taken = {stage.name for stage in shape.stages}
    return [
        Call(call.step, f"{call.title} (delivery)" if call.title in taken else call.title, call.arguments)
        for call in planned_calls(request.plan, whole=whole, runner=runner)
    ]


def _behind(after: str | None, shape: Outline, script: Script) -> tuple[Statement, list[str]]:
    if after is None:
        if isinstance(shape.end, EditRefused):
            raise shape.end
        return shape.end, []
    behind, holder = stage_behind(shape, script, after)
    return behind, [f"stage '{after}' runs in '{holder}': delivery follows the whole of it"] if holder else []


def _prove(request: InjectionRequest, text: str, names: tuple[str, ...]) -> None:
    """Check that what was added comes out again, and that the team's stages are read as before.

    Raises:
        EditRefused: they are not; nothing may be written then.
    """
    before, *_ = _without(request.file, request.text)
    after, *_ = _without(request.file, text)
    script = parse(after, request.file)
    if before != after or tuple(stage.name for stage in outline(script).stages) != names:
        raise EditRefused(
            "the stages could not be added so that they come out again without a trace",
            place=Place(request.file),
            fix="name another place with --after, and report the file as a defect of pipegraft",
        )
