"""What a Dockerfile says of the images it builds on, and whether it needs BuildKit to be built."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["Dockerfile", "Instruction", "exposed_ports", "instructions", "read_dockerfile"]

_DIRECTIVE = re.compile(r"#\s*(\w+)\s*=\s*(\S+)\s*$")
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:(:?[-+])([^{}]*))?\})")
_DEEPEST = 9
"""Variables within the default of another that are looked through."""
_HEREDOC = re.compile(r"""(?:^|\s)\d*<<-?(["']?)(\w+)\1(?=\s|$)""")
_FLAG = re.compile(r"--([a-z-]+)(?:=(\S+))?\s+")
_CLASSIC_FLAGS = {
    "FROM": {"platform"},
    "COPY": {"from", "chown"},
    "ADD": {"chown"},
    "RUN": set[str](),
}
"""Flags that the engine's own builder knows; others of these instructions are BuildKit's."""


@dataclass(frozen=True, slots=True)
class Dockerfile:
    """What was found.

    Arguments:
        images: names of the images that are not stages of the file itself, each once, in order.
        final: the one that the stage to build is built on, None for an empty one.
        needs_buildkit: why the engine's own builder cannot build it, as a clause; empty if it can.
    """

    images: tuple[str, ...]
    final: str | None
    needs_buildkit: str


def read_dockerfile(
    text: str,
    arguments: Mapping[str, str],
    *,
    stage: str = "",
    platform: str = "linux/amd64",
    contexts: Collection[str] = (),
) -> Dockerfile:
    """Read a Dockerfile as far as its images go; what cannot be read is left to the builder to refuse.

    Arguments:
        arguments: build arguments that are given; they stand over the defaults of ``ARG``.
        stage: name or number of the stage to build; the last one if empty.
        platform: ``os/architecture`` that is built for.
        contexts: names of further contexts, which stand for images.
    """
    variables = _of_platform(platform)
    stages: dict[str, str | None] = {}
    images: dict[str, None] = {}
    final: str | None = None
    reasons = ["it names a syntax of its own"] if "syntax" in _directives(text) else []
    for one in instructions(text):
        reasons += one.buildkit()
        if one.keyword == "ARG" and not stages:
            for word in one.rest.split():
                name, given, default = word.partition("=")
                if name in arguments:
                    variables[name] = arguments[name]
                elif given:  # one without a default stays unset, as BuildKit has it
                    variables[name] = _expand(default.strip("\"'"), variables)
        elif one.keyword == "FROM":
            final = _from(_expand(one.rest, variables), stages, images, contexts)
        else:
            for name in one.sources():
                _note(_expand(name, variables), stages, images, contexts)
    if stage:
        named = dict(zip(map(str, range(len(stages))), stages.values(), strict=True)) | stages
        final = named.get(stage.lower())
    return Dockerfile(tuple(images), final, reasons[0] if reasons else "")


def _of_platform(platform: str) -> dict[str, str]:
    """The arguments that BuildKit sets by itself (Dockerfile reference, "Automatic platform ARGs").

    What it builds on only the builder knows; most build for what they are.
    """
    system, architecture, variant = (*platform.split("/"), "")[:3]
    values = {"PLATFORM": platform, "OS": system, "ARCH": architecture, "VARIANT": variant}
    return {side + name: value for side in ("TARGET", "BUILD") for name, value in values.items()}


def exposed_ports(text: str) -> tuple[int, ...]:
    """Ports that the last stage of a Dockerfile says it listens on (``EXPOSE``), each once, in order."""
    variables: dict[str, str] = {}
    ports: dict[int, None] = {}
    for one in instructions(text):
        if one.keyword == "FROM":
            ports.clear()
        elif one.keyword in ("ARG", "ENV"):
            for name, value in re.findall(r"(\w+)[= ]\s*(\S+)", one.rest):
                variables[name] = value.strip("\"'")
        elif one.keyword == "EXPOSE":
            for word in _expand(one.rest, variables).split():
                number = word.partition("/")[0].partition("-")[0]
                if number.isdecimal() and 0 < int(number) < 65536:
                    ports[int(number)] = None
    return tuple(ports)


@dataclass(frozen=True, slots=True)
class Instruction:
    """One instruction.

    Arguments:
        line: where it begins, counted from 1.
        keyword: in capitals.
        flags: name → value, empty for one without.
        rest: what stands behind keyword and flags, continuation lines joined.
        has_document: whether a here-document belongs to it.
    """

    line: int
    keyword: str
    flags: Mapping[str, str]
    rest: str
    has_document: bool

    def buildkit(self) -> list[str]:
        """Why this instruction needs BuildKit."""
        known = _CLASSIC_FLAGS.get(self.keyword)
        reasons = [
            f"line {self.line} uses {self.keyword} --{flag}"
            for flag in self.flags
            if known is not None and flag not in known
        ]
        return reasons + [f"line {self.line} uses a here-document"] * self.has_document

    def sources(self) -> list[str]:
        """Images or stages that files are taken from."""
        mounted = re.findall(r"(?:^|,)from=([^,]+)", self.flags.get("mount", ""))
        return mounted + [self.flags[flag] for flag in ("from",) if self.flags.get(flag)]


def _from(
    rest: str, stages: dict[str, str | None], images: dict[str, None], contexts: Collection[str]
) -> str | None:
    words = rest.split()
    name = words[0] if words else ""
    if name.lower() in stages:
        base = stages[name.lower()]
    elif name == "scratch" or not name or name.lower().removesuffix(":latest") in contexts:
        base = None
    else:
        base = name
        images[name] = None
    stages[words[2].lower() if len(words) == 3 else f"#{len(stages)}"] = base
    return base


def _note(
    name: str, stages: Mapping[str, str | None], images: dict[str, None], contexts: Collection[str]
) -> None:
    known = name.lower() in stages or name.lower().removesuffix(":latest") in contexts
    if not name.isdecimal() and not known:
        images[name] = None


def _directives(text: str) -> dict[str, str]:
    """Parser directives: the comments ``# key=value`` ahead of everything else."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        directive = _DIRECTIVE.match(line)
        if directive is None:
            break
        found[directive[1].lower()] = directive[2]
    return found


def instructions(text: str) -> Iterator[Instruction]:
    """Every instruction, in order; comments and here-documents are passed over."""
    text = text.removeprefix("\ufeff")
    escape = _directives(text).get("escape", "\\")
    lines = iter(enumerate(text.split("\n"), start=1))
    for number, line in lines:
        joined = "" if line.lstrip().startswith("#") else line.rstrip()
        while joined.endswith(escape):
            _, following = next(lines, (0, ""))
            if not following.lstrip().startswith("#"):
                joined = joined.removesuffix(escape) + following.rstrip()
        if not joined.strip():
            continue
        keyword, rest = (*joined.split(None, 1), "")[:2]
        documents = _HEREDOC.findall(rest) if keyword.upper() in ("RUN", "COPY", "ADD") else []
        for _, end in documents:
            while next(lines, (0, end))[1].strip() != end:
                pass
        flags: dict[str, str] = {}
        rest = rest.lstrip()
        while flag := _FLAG.match(rest):
            flags[flag[1]] = ",".join(
                filter(None, (flags.get(flag[1]), flag[2]))
            )  # an instruction may have several mounts
            rest = rest[flag.end() :]
        yield Instruction(number, keyword.upper(), flags, rest, bool(documents))


def _expand(text: str, variables: Mapping[str, str]) -> str:
    def value(found: re.Match[str]) -> str:
        held = variables.get(found[1] or found[2])
        sign = found[3] or ""
        there = bool(held) if sign.startswith(":") else held is not None
        if sign.endswith("+"):
            return found[4] if there else ""
        return held or "" if there or not sign else found[4]

    for _ in range(_DEEPEST):
        text, changed = _VARIABLE.subn(value, text)
        if not changed:
            break
    return text
