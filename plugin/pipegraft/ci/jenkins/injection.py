"""Injects a plan's stages into a Jenkinsfile and ejects them: pure, and proven before it is answered.

The ``@Library`` annotation: the library's pin joins what the file loads already, and leaves it again. Jenkins
reads the annotation when it compiles the file, and a second ``@Library('…') _`` would declare ``_`` twice: so
where there is an annotation, the pin becomes an item of it. Which side it stands on says what was there
before: first in a list that was a single text, last in a list that was one already.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass

from pipegraft.ci.hooks import Injection, InjectionRequest
from pipegraft.ci.jenkins.grafts import (
    PREFIX,
    Call,
    Graft,
    find_grafts,
    is_step,
    line_end,
    line_start,
    literal,
    place,
    planned_calls,
    read_call,
    slot_behind,
    take_out,
)
from pipegraft.ci.jenkins.outline import outline
from pipegraft.ci.jenkins.stages import ComesWhole, Outline, stage_behind
from pipegraft.ci.jenkins.when import event_rows, surroundings
from pipegraft.core.errors import EditRefused, Place, UsageError
from pipegraft.text.groovy import Script, Span, Statement, parse

__all__ = ["eject", "inject", "library_version"]


@dataclass(frozen=True, slots=True)
class _Annotation:
    """One ``@Library(…)``.

    Arguments:
        whole: its span, from the ``@`` to the closing parenthesis.
        items: indices of the string tokens it names.
        listed: the brackets of a list around them, or None.
        plain: nothing but strings stands in it.
    """

    whole: Span
    items: tuple[int, ...]
    listed: Span | None
    plain: bool


def _annotations(script: Script) -> Iterator[_Annotation]:
    for index, token in enumerate(script.code):
        if token.kind == "operator" and [script.word(index + n) for n in (0, 1, 2)] == ["@", "Library", "("]:
            yield _annotation(script, index)


def _annotation(script: Script, at: int) -> _Annotation:
    inside = script.inside(at + 2)
    first = script.skip_newlines(inside.first)
    if (script.word(first), script.word(first + 1)) == ("value", "="):
        first = script.skip_newlines(first + 2)
    listed = Span(first, script.partner[first]) if script.word(first) == "[" else None
    span = listed or Span(first, first)
    items = tuple(n for n in range(span.first, span.last + 1) if script.string(n) is not None)
    other = [
        n
        for n in range(span.first, span.last + 1)
        if n not in items and script.code[n].kind != "newline" and script.word(n) not in "[,]"
    ]
    behind = script.word(script.skip_newlines(span.last + 1))
    plain = bool(items) and not other and behind in (")", ",")
    return _Annotation(Span(at, script.partner[at + 2]), items, listed, plain)


def _is_pin(script: Script, index: int) -> bool:
    name = script.string(index)
    return name is not None and name.split("@")[0] == PREFIX


def library_version(script: Script) -> str | None:
    """The version the file pins, None if it does not load the library; empty if it names none."""
    for annotation in _annotations(script):
        for index in annotation.items:
            if _is_pin(script, index):
                return (script.string(index) or "").partition("@")[2]
    return None


def _pin_library(script: Script, version: str) -> str:
    """The text with the library loaded at a version.

    Raises:
        EditRefused: the file loads libraries in a way that cannot be joined.
        UsageError: no version of a library can be called so.
    """
    if not re.fullmatch(r"[\w./+-]*", version):
        raise UsageError(
            f"expected a tag, branch or commit as the library's version, found {version!r}",
            fix="name one with letters, digits and . _ / + - alone",
        )
    pin = f"'{PREFIX}@{version}'" if version else f"'{PREFIX}'"
    annotations = list(_annotations(script))
    text = script.text
    for index in (item for annotation in annotations for item in annotation.items if _is_pin(script, item)):
        token = script.code[index]
        quote = text[token.start]
        return text[: token.start] + pin.replace("'", quote) + text[token.end :]
    for annotation in annotations:
        if annotation.plain:
            return _join(script, annotation, pin)
    if annotations:
        raise EditRefused(
            "expected @Library with the names of libraries, found an expression",
            place=script.place(annotations[0].whole.first),
            fix="write the names as plain text in single quotes",
        )
    start = _first_line(script)
    return f"{text[:start]}@Library({pin}) _{line_end(text)}{text[start:]}"


def _join(script: Script, annotation: _Annotation, pin: str) -> str:
    text = script.text
    last = script.code[annotation.items[-1]]
    if annotation.listed:
        return f"{text[: last.end]}, {pin}{text[last.end :]}"
    return f"{text[: last.start]}[{pin}, {text[last.start : last.end]}]{text[last.end :]}"


def _first_line(script: Script) -> int:
    """Offset of the line where the annotation goes: above the first statement and what is said of it."""
    first = script.skip_newlines(0)
    if script.word(first) == "package":
        while script.code[first].kind != "newline":
            first += 1
        return script.code[first].end
    offset = script.code[first].start if first < len(script.code) else len(script.text)
    start = line_start(script.text, offset)
    breaks = 0
    for token in reversed(list(script.tokens_between(0, offset))):
        breaks += token.kind == "newline"
        if token.kind != "comment":
            continue
        said = script.text[token.start : token.end]
        if breaks > 1 or said.startswith("#!") or (token.start < 3 and re.search(r"-\*-|vim?:", said)):
            break
        start, breaks = line_start(script.text, token.start), 0
    return start


def _drop_library(script: Script) -> str:
    """The text without the library's pin."""
    text = script.text
    for annotation in _annotations(script):
        index = next((item for item in annotation.items if _is_pin(script, item)), None)
        if index is None:
            continue
        if len(annotation.items) == 1:
            start, end = _line(script, annotation)
        elif annotation.listed and index == annotation.items[0]:
            return _leave_first(script, annotation)
        else:
            before = annotation.items[annotation.items.index(index) - 1]
            start, end = script.code[before].end, script.code[index].end
        return text[:start] + text[end:]
    return text


def _leave_first(script: Script, annotation: _Annotation) -> str:
    text, (first, second, *more) = script.text, annotation.items
    assert annotation.listed is not None  # noqa: S101 - the caller has looked
    if more:
        return text[: script.code[first].start] + text[script.code[second].start :]
    left, right = script.start(annotation.listed), script.end(annotation.listed)
    kept = text[script.code[second].start : script.code[second].end]
    return text[:left] + kept + text[right:]


def _line(script: Script, annotation: _Annotation) -> tuple[int, int]:
    """Span of ``@Library('…') _`` with its line end, or an empty one if it stands before anything else."""
    last = annotation.whole.last + 1
    behind = script.code[last + 1] if last + 1 < len(script.code) else None
    start = script.start(annotation.whole)
    if script.word(last) != "_" or (behind is not None and behind.kind != "newline"):
        return start, start
    return start, behind.end if behind else script.code[last].end


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
    calls = [
        call.tuned_as(known.get(call.key), defaults)
        for call, defaults in zip(wanted, _defaults(request, len(wanted)), strict=True)
        if call.key not in own
    ]
    notes = [f"line {line} calls {key[0]} itself: left as it is" for key, line in own.items()]
    if [graft.call for graft in grafts] == calls and request.options.after is None:
        text = request.text
    else:
        if slot is None or request.options.after is not None:
            behind, said = _behind(request.options.after, shape, team)
            slot = slot_behind(team, behind)
            notes += said
        text = place(team_text, slot, calls, shape.syntax)
    pinned = parse(text, request.file)
    text = _pin_library(pinned, _version(request, library_version(pinned)))
    names = tuple(stage.name for stage in shape.stages)
    _prove(request, text, names)
    arguments = calls[0].arguments if calls else {}
    branch = arguments.get("branch", "").strip("'\"")
    at = slot.offset if slot else len(team_text)
    if grafts and request.options.after is None:  # it stands: what is told names the lines that people see
        team, shape, at = script, outline(script), grafts[0].start
    around = surroundings(team, shape, at, branch, request.plan.longest)
    return Injection(
        files={} if text == request.text else {request.file: text},
        jobs_unchanged=names,
        jobs_added=tuple(call.title for call in calls),
        notes=(*notes, *around.notes),
        events=event_rows(around, branch, timers=arguments.get("timers") == "true"),
    )


def _offered(request: InjectionRequest, script: Script, elsewhere: ComesWhole) -> EditRefused:
    """The refusal of a pipeline that comes whole from elsewhere, with the edit that a person may make."""
    branch = request.options.branch or request.default_branch
    call = f"{PREFIX}({f'branch: {literal(branch)}' if branch else ''})"
    end = script.end(elsewhere.call)
    edited = parse(f"{request.text[:end]}{line_end(request.text)}{call}{request.text[end:]}", request.file)
    lines = difflib.unified_diff(
        request.text.splitlines(),
        _pin_library(edited, _version(request, None)).splitlines(),
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
    return left if own else _drop_library(rest), grafts, own


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
    if request.options.source is not None:
        raise UsageError(
            "Jenkins takes the library from where an administrator configured it, not from where a file says",
            fix="configure the library 'pipegraft' in Jenkins (docs/jenkins.md), and give --ref alone",
        )
    if request.options.ref is not None:
        return request.options.ref
    return request.version if pinned is None or _VERSION.fullmatch(pinned) else pinned


def _is_whole(request: InjectionRequest, grafts: tuple[Graft, ...]) -> bool:
    if request.options.mode is None:
        return any(graft.call.step == PREFIX for graft in grafts)
    return request.options.mode == "child"


def _wanted(request: InjectionRequest, shape: Outline, *, whole: bool) -> list[Call]:
    runner = {
        "image": request.options.image or "",
        "agent": " && ".join(request.options.tags or ()),
        "packages": request.options.packages or "",
        "branch": request.options.branch or "",
    }
    taken = {stage.name for stage in shape.stages}
    return [
        Call(call.step, f"{call.title} (delivery)" if call.title in taken else call.title, call.arguments)
        for call in planned_calls(request.plan, whole=whole, runner=runner)
    ]


_USUAL_MINUTES = 1440  # of the library


def _defaults(request: InjectionRequest, count: int) -> list[dict[str, str]]:
    """What each call says where people say nothing of it: the branch, and a timeout that is long enough."""
    branch = {"branch": literal(request.default_branch)} if request.default_branch else {}
    longest = [one.longest / 60 for one in request.plan.stages]
    minutes = longest if count == len(longest) else [max(longest, default=0.0)] * count
    return [branch | ({"timeout": f"{one + 60:.0f}"} if one > _USUAL_MINUTES else {}) for one in minutes]


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
