"""Values before a comment ``pipegraft:set=COMPONENT.VALUE``, in files of any language.

Only the value changes: not its quotes, the brace behind it, the flag or the variable it is given to. The
line is taken apart into tokens, and must have the same ones afterwards; where the file is YAML, the whole
must read the same but for these values.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from pipegraft.core.delivery import Target
from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.released_images import Part, PinnedImage, Reference, same_repository
from pipegraft.text.yaml import changed_scalars
from pipegraft.text.yaml.values import write_scalar

__all__ = ["write_marked"]

_MARK = re.compile(
    r"(?P<comment>\#|//|/\*|\{\{-?[ ]*/\*|<!--|--|;)[ \t]*"
    r"pipegraft:set=(?P<component>[a-z][a-z0-9-]*)\.(?P<part>[\w-]+)(?![\w.-])"
)
_TOKEN = re.compile(
    r"""(?P<markup></?[A-Za-z][\w:.-]*>)
    | (?P<action>\{\{.*?\}\}|\{%.*?%\}|<%.*?%>|\$\{.*?\}|\$\(.*?\))
    | (?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*')
    | (?P<bare>(?:[^\s"'{}\[\](),$<>]|\$(?![{(]))+)
    | (?P<open>["'])
    | (?P<other>[{}\[\](),<>])""",
    re.VERBOSE,
)
_KEYS = {
    "tag": re.compile(r"(tag|version)$", re.IGNORECASE),
    "digest": re.compile(r"(digest|sha|sha256)$", re.IGNORECASE),
    "repository": re.compile(r"(repo|repository|name)$", re.IGNORECASE),
    "reference": re.compile(r"(image|ref|reference)$", re.IGNORECASE),
}
"""How keys are called that hold a part of an image."""
_FITS: Mapping[str, re.Pattern[str]] = {
    "tag": re.compile(r"[\w.+-]*(@sha256:[0-9a-f]*)?"),
    "digest": re.compile(r"([a-z0-9]+:)?[\w-]*"),
}
_REFERENCE = re.compile(r"[\w.+:/@-]*")
"""What may stand where a part of an image, or a whole one, is to be written."""
_CONTROL = re.compile(r"\{\{-?\s*(if|else|end|with|range|/\*)|\{%|<%")
"""Template expressions that decide what stands there, and are no value themselves."""
_TEMPLATE = re.compile(r"\{\{|\{%|<%|\$[\w{(]")
_HOW = "mark a line with one value on it: 'key: value', 'KEY=value' or '--flag=value'"


@dataclass(frozen=True, slots=True)
class _Value:
    """A value on a line: where it stands without its quotes, them, and the key it belongs to."""

    start: int
    end: int
    quote: str
    key: str
    assigned: bool

    def text(self, line: str) -> str:
        return line[self.start : self.end]


def write_marked(
    text: str, target: Target, images: Mapping[str, PinnedImage], file: str
) -> tuple[str, dict[str, frozenset[str]]]:
    """Write the marked values.

    Returns:
        The new text; component → which of tag and digest stand there then.

    Raises:
        EditRefused: no line is marked, or it is not plain which value a mark means.
    """
    pins: dict[str, frozenset[str]] = {}
    lines = text.splitlines(keepends=True)
    made: list[str] = []
    for number, line in enumerate(lines, 1):
        found = _MARK.search(line)
        image = images.get(found["component"]) if found else None
        if found is None or image is None:
            made.append(line)
            continue
        place = Place(file, number, found.start() + 1)
        _refuse_strange(line, found, place)
        value = _chosen(line, found, image, place)
        new, said = image.like(value.text(line), cast("Part", found["part"]), target.write)
        pins[found["component"]] = pins.get(found["component"], frozenset()) | said
        made.append(_written(line, value, new))
        _same_skeleton(line, made[-1], found.start(), place)
    _complete(pins, target, images, file)
    new = "".join(made)
    _prove(text, new, sum(before != after for before, after in zip(lines, made, strict=True)), file)
    return new, pins


def _refuse_strange(line: str, mark: re.Match[str], place: Place) -> None:
    """Make sure that a mark names a part of an image, and is the only one of its line."""
    if mark["part"] not in _KEYS:
        raise EditRefused(
            f"the marker names '{mark['part']}' of '{mark['component']}', which is no part of an image",
            place=place,
            fix=f"name one of: {', '.join(_KEYS)}",
        )
    if mark["comment"] == "#" and re.search(r"\w$", line[: mark.start()]):
        raise EditRefused(
            "the marker stands inside a value: no comment begins behind a letter",
            place=place,
            fix="put a space in front of it",
        )
    if "ENC[" in line[: mark.start()]:
        raise EditRefused(
            "the marked value is encrypted", place=place, fix="keep the image in a file in clear text"
        )
    if line.count("pipegraft:set=") > 1:
        raise EditRefused("two markers stand on one line", place=place, fix=_HOW)


def _complete(
    pins: Mapping[str, frozenset[str]], target: Target, images: Mapping[str, PinnedImage], file: str
) -> None:
    wanted = target.component or next(iter(images))
    if not pins or (target.component and target.component not in pins):
        raise EditRefused(
            f"expected a line that ends in '# pipegraft:set={wanted}.digest'",
            place=Place(file),
            fix="add the comment behind the value; VALUE is reference, repository, tag or digest",
        )


def _chosen(line: str, mark: re.Match[str], image: PinnedImage, place: Place) -> _Value:
    """The one value that a mark means."""
    part = mark["part"]
    values = _values(line, mark.start(), place)
    named = [value for value in values if _KEYS[part].search(value.key)]
    alike = [value for value in values if _looks_like(value.text(line), part, image)]
    keyed = [value for value in values if value.key]
    for choice in (named, alike, values, keyed):
        if len(choice) == 1:
            break
    else:
        message = "there is no value in front of the marker" if not values else "it is not plain which value "
        raise EditRefused(message + ("" if not values else "the marker means"), place=place, fix=_HOW)
    _check_fits(choice[0], line, part, place)
    return choice[0]


def _looks_like(value: str, part: str, image: PinnedImage) -> bool:
    if part == "digest":
        return value.startswith("sha256:")
    standing = Reference.parse(value)
    pinned = bool(standing.tag or standing.digest)
    return same_repository(standing.repository, image.repository) and (
        (part == "reference" and pinned) or (part == "repository" and not pinned)
    )


def _check_fits(value: _Value, line: str, part: str, place: Place) -> None:
    standing = value.text(line)
    if _TEMPLATE.search(standing):
        raise EditRefused(
            "the value in front of the marker holds a template expression or a variable",
            place=place,
            fix="mark the value where that takes it from",
        )
    if part in {"tag", "digest"} and "/" in standing:
        raise EditRefused(
            f"{standing!r} in front of the marker is more than a {part}",
            place=place,
            fix="mark it '.reference'",
        )
    if not _FITS.get(part, _REFERENCE).fullmatch(standing):
        said = f"{standing!r} in front of the marker is no {part}"
        raise EditRefused(said, place=place, fix=f"write one there; or {_HOW}")
    other = next((one for one in ("tag", "digest") if one != part and _KEYS[one].search(value.key)), None)
    if part in {"reference", "repository"} and other and "/" not in standing:
        raise EditRefused(
            f"'{value.key}' in front of the marker holds a {other}, and no {part}",
            place=place,
            fix=f"mark it '.{other}'",
        )


def _values(line: str, end: int, place: Place) -> list[_Value]:
    """The values in front of a mark, each with its key."""
    values: list[_Value] = []
    key, assigned, glued = "", False, -1
    in_markup = line.startswith("<!--", end)
    for token in (one for one in _TOKEN.finditer(line, 0, end) if not _is_property(line, one)):
        kind, text = str(token.lastgroup), token[0]
        if kind == "open":
            raise EditRefused("the marker stands inside a string", place=place, fix=_HOW)
        touching = bool(values) and values[-1].end + len(values[-1].quote) == token.start()
        if kind == "action" or token.start() == glued or (text[0] in "<>" and not in_markup):
            if touching or token.start() == glued or (key and not _CONTROL.match(text)):  # refused if chosen
                begun = values.pop() if touching else _Value(token.start(), 0, "", key, assigned=False)
                values.append(replace(begun, end=token.end(), quote=""))
            key, glued = "", token.end()
        elif kind == "markup":
            key = text.strip("</>").partition(" ")[0]
        elif kind == "other":
            key = "" if text in {",", "{", "("} else key
        elif _is_key(line, token):
            key, assigned = text.strip("\"'").rstrip(":=").lstrip("-"), text.endswith("=")
        elif text in {"=", ":", ":=", "-", "==", "?=", "\\", "|"}:
            if text.endswith("=") and values and line[values[-1].end : token.start()].isspace():
                key, assigned = values.pop().text(line), True
        else:
            values.append(_value(token, key, assigned=assigned))
            key, assigned = "", False
    return values


def _is_property(line: str, token: re.Match[str]) -> bool:
    """Whether a word is YAML's anchor or tag in front of a value, or what is called or indexed behind it."""
    return token.lastgroup == "bare" and (token[0][0] in "&!" or line[token.end()] in "[(")


def _is_key(line: str, token: re.Match[str]) -> bool:
    if token.lastgroup == "quoted":
        return line[token.end() : token.end() + 1] == ":"
    return token[0].endswith((":", "=")) and token[0].strip(":=?") != ""


def _value(token: re.Match[str], key: str, *, assigned: bool) -> _Value:
    start, end, quote = token.start(), token.end(), ""
    if token.lastgroup == "quoted":
        quote = token[0][0]
        start, end = start + 1, end - 1
    inner = token.string[start:end]
    flag = re.match(r"(--?)?(?P<name>[A-Za-z_][\w.-]*)=", inner)
    if flag:  # '--image=web:v1', 'IMAGE=web:v1', quoted or not
        return _Value(start + flag.end(), end, quote, flag["name"], assigned=True)
    return _Value(start, end, quote, key, assigned)


def _written(line: str, value: _Value, new: str) -> str:
    """The line with the new value; in YAML it is quoted where it would be read as a number otherwise."""
    if not value.quote and not value.assigned and write_scalar(new) != new:
        new = f"'{new}'"
    return line[: value.start] + new + line[value.end :]


def _same_skeleton(before: str, after: str, mark: int, place: Place) -> None:
    """Make sure that the line has the same tokens but for one."""
    end = mark + len(after) - len(before)
    old = [(token.lastgroup, token[0]) for token in _TOKEN.finditer(before, 0, mark)]
    new = [(token.lastgroup, token[0]) for token in _TOKEN.finditer(after, 0, end)]
    differing = [one for one in zip(old, new, strict=False) if one[0] != one[1]]
    kept = len(old) == len(new) and len(differing) <= 1
    if not kept or before[mark:] != after[end:]:
        raise EditRefused(
            "the new value would change more of the line than the old one", place=place, fix=_HOW
        )


def _prove(text: str, new: str, count: int, file: str) -> None:
    """Where the whole is YAML, no more scalars than the marked ones have changed."""
    changed: Sequence[tuple[str, str]] | None = changed_scalars(text, new)
    in_yaml = file.endswith((".yaml", ".yml"))
    if in_yaml and any("#" in before and _MARK.search(before) for before, _ in changed or ()):
        raise EditRefused("the marker stands inside a string", place=Place(file), fix=_HOW)
    if changed is not None and not (bool(count) <= len(changed) <= count):
        raise EditRefused(
            "a marked line does not stand alone: with the new value the file would mean something else",
            place=Place(file),
            fix="write the value by a target of kind 'yaml'",
        )
