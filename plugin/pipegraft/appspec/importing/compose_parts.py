"""Parts of Compose files: how two are merged, their variables, health checks, and how a service is built.

Source: the Compose Specification ("Merge", "Interpolation", "env_file", "build") and
Docker's syntax of `.env`. A text here is as in a Compose file: a dollar that is meant is written twice.
"""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, TypeAlias

from pipegraft.appspec.importing.taking import Taking, found_values, is_outside, leaves, tells_secret

__all__ = [
    "CREDENTIALS",
    "SECRET_NAME",
    "SHELL_VARIABLE",
    "ReadBeside",
    "compose_build",
    "duration_of",
    "env_lines",
    "health_of",
    "http_question",
    "merge",
    "of_shell",
    "pairs",
    "public",
    "variables_of",
    "with_values",
]

ReadBeside: TypeAlias = Callable[[str], str | None]
"""Path from the folder of a Compose file → the text of that file; None if there is none."""

SECRET_NAME = re.compile(r"PASS(WORD|WD)?$|SECRET|TOKEN|API_?KEY|PRIVATE|CREDENTIAL", re.IGNORECASE)
CREDENTIALS = re.compile(
    r"(password|passwd|pwd)\s*=\s*[^\s;&]|(//|^)[\w.%-]*:[^\s:@/]+@(?!sha256:)", re.IGNORECASE
)
"""In a connection string or a URL."""
SHELL_VARIABLE = re.compile(r"(?<!\$)(?:\$\$)*(\$(?:\{[^}]*\}?|\w+))")
_INNERMOST = re.compile(
    r"(?<!\$)(?P<dollars>(?:\$\$)*)(?P<all>\$(?:(?P<bare>[A-Za-z_]\w*)"
    r"|\{(?P<name>[A-Za-z_]\w*)(?:(?P<how>:?[-?+])(?P<word>[^${}]*))?\}))"
)
_NAMED = frozenset({"environment", "args", "labels", "additional_contexts"})
_REPLACED = frozenset({"command", "entrypoint", "test"})
_OF_SHELL = "image entrypoint command healthcheck.test build build.context build.dockerfile build.target"
_LINE = re.compile(
    r"^[ \t]*(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]*)[ \t]*[=:][ \t]*"
    r"(?:'(?P<literal>[^']*)'|\"(?P<quoted>(?:[^\"\\]|\\.)*)\"|(?P<plain>[^\n]*?))"
    r"[ \t]*(?:(?<=[ \t'\"])#[^\n]*)?$",
    re.MULTILINE,
)
_ESCAPED = {"n": "\n", "r": "\r", "t": "\t", "$": "$$"}


def merge(below: Any, above: Any, key: str = "") -> Any:
    """A Compose file or service put over another: mappings merge, lists grow, commands are replaced."""
    if key in _NAMED and (isinstance(below, list) or isinstance(above, list)):
        below, above = dict(pairs(below)), dict(pairs(above))
    if key == "build":
        below, above = ({"context": one} if isinstance(one, str) else one for one in (below, above))
    if key == "env_file":
        below, above = ([one] if isinstance(one, str) else one for one in (below, above))
    if isinstance(below, dict) and isinstance(above, dict):
        both = {name: merge(below[name], above[name], name) for name in below if name in above}
        return {**below, **above, **both}
    if isinstance(below, list) and isinstance(above, list) and key not in _REPLACED:
        return [*below, *(one for one in above if one not in below)]
    return above


_DURATION = re.compile(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?")
_URL = re.compile(
    r"(http://)?(localhost|127\.0\.0\.1|0\.0\.0\.0)(:(?P<port>\d{1,5}))?(?P<path>/[^\s#\[\]{}]*)?"
)
_OR_FALSE = re.compile(r"\s*\|\|\s*(exit\s+1|false)\s*$")
_OF_A_SHELL = re.compile(r"[|&;<>()`$*\\\n]")
_HARMLESS: Mapping[str, tuple[str, str]] = {
    "curl": (
        "-f --fail --fail-with-body -s --silent -S --show-error -k --insecure -L --location -I --head",
        "-o --output -m --max-time --connect-timeout -w --write-out",
    ),
    "wget": (
        "-q --quiet -nv --no-verbose --spider --no-check-certificate --no-proxy -S --server-response",
        "-O --output-document -T --timeout -t --tries",
    ),
}
"""Program → options, and those with a value, that leave it a GET or HEAD (of one status: RFC 9110, 9.3.2)."""


class _Options(argparse.ArgumentParser):
    """Options of a program, of which any other is an error."""

    def __init__(self, program: str) -> None:
        super().__init__(add_help=False, allow_abbrev=False)
        flags, valued = _HARMLESS[program]
        for one in flags.split():
            self.add_argument(one, action="append_const", dest="said", const=one)
        for one in valued.split():
            self.add_argument(one, dest="value")
        self.add_argument("urls", nargs="*")

    def error(self, message: str) -> NoReturn:
        raise ValueError(message)


def health_of(part: Taking, ports: Mapping[str, int]) -> dict[str, Any] | None:
    """The health check as readiness: by both, others learn whether it is ready."""
    test = part.peek("healthcheck", "test")
    if isinstance(test, str):
        words = ["sh", "-c", test]
    elif isinstance(test, list) and len(test) > 1 and test[0] in ("CMD", "CMD-SHELL"):
        said = [str(word) for word in test[1:]]
        words = said if test[0] == "CMD" else ["sh", "-c", " ".join(said)]
    else:
        return None
    part.take("healthcheck", "test")
    asked = http_question(words[-1] if words[:2] == ["sh", "-c"] else shlex.join(words), ports)
    found: dict[str, Any] = asked or {"exec": [word.replace("$$", "$") for word in words]}
    for theirs, ours in (("interval", "period"), ("timeout", "timeout"), ("start_period", "initial-delay")):
        found[ours] = duration_of(part, "healthcheck", theirs)
    if isinstance(part.peek("healthcheck", "retries"), int):
        found["failures"] = part.take("healthcheck", "retries")
    return found_values(found)


def duration_of(part: Taking, *route: str) -> str | None:
    """Whole seconds; what is said to the millisecond is left."""
    found = _DURATION.fullmatch(str(part.peek(*route) or ""))
    if not found or not found[0]:
        return None
    part.take(*route)
    hours, minutes, seconds = (int(one or 0) for one in found.groups())
    return f"{hours * 3600 + minutes * 60 + seconds}s"


def http_question(command: str, ports: Mapping[str, int]) -> dict[str, str] | None:
    """What a health check asks by curl or wget, as a probe asks it; None for another command.

    Both call an answer of 400 or above bad, curl with `--fail` alone. What may ask otherwise stays a command.

    Arguments:
        ports: of the service, by name.
    """
    plain = _OR_FALSE.sub("", command)
    try:
        program, *words = shlex.split(plain)
        said = _Options(program).parse_args(words)
    except (ValueError, KeyError):
        return None
    found = _URL.fullmatch(said.urls[0]) if len(said.urls) == 1 and not _OF_A_SHELL.search(plain) else None
    fails = program == "wget" or any(one.startswith(("-f", "--fail")) for one in said.said or ())
    if not found or not fails:
        return None
    name = next((one for one, number in ports.items() if number == int(found["port"] or 80)), None)
    if name is None:
        return None
    return {"path": found["path"] or "/", **({"port": name} if name != next(iter(ports)) else {})}


def pairs(value: Any) -> Iterator[tuple[str, str | None]]:
    """Variables, labels and the like; None for a value that comes from the shell."""
    if isinstance(value, dict):
        for key, one in value.items():
            yield str(key), None if one is None else str(one).lower() if isinstance(one, bool) else str(one)
    elif isinstance(value, list):
        for entry in value:
            key, equals, one = str(entry).partition("=")
            yield key, one if equals else None


def env_lines(text: str, known: Mapping[str, str]) -> dict[str, str]:
    """Variables of an environment file; a line may name what is known, and else those before it."""
    found: dict[str, str] = {}
    for line in _LINE.finditer(text.replace("\r\n", "\n")):
        value = line["literal"]
        if value is not None:
            value = value.replace("$", "$$")
        else:
            plain = line["plain"]
            if plain is None:
                plain = re.sub(r"\\(.)", lambda one: _ESCAPED.get(one[1], one[1]), line["quoted"])
            value = with_values(plain, public({**found, **known}), {})
        found[line["name"]] = value
    return found


def variables_of(
    part: Taking, known: Mapping[str, str], read: ReadBeside
) -> tuple[dict[str, str | None], list[str]]:
    """Variables of the files that a service names, then its own; a name alone is one of `.env`.

    Returns:
        The variables, and a line for each file that is not there.
    """
    found: dict[str, str | None] = {}
    lost: list[str] = []
    own = {
        name: known.get(name) if value is None else value for name, value in pairs(part.take("environment"))
    }
    there = {**known, **{name: value for name, value in own.items() if value is not None}}
    entries = part.take("env_file")
    for entry in entries if isinstance(entries, list) else [entries] if entries else []:
        path = str(entry.get("path") if isinstance(entry, dict) else entry)
        if (text := read(path)) is None:
            why = "it is not there: write its variables as `env`, secrets as references"
            lost.append(f"{part.name}: env_file: {path} ({why})")
        else:
            raw = isinstance(entry, dict) and entry.get("format") == "raw"
            found |= _raw_lines(text) if raw else env_lines(text, there)
    return found | own, lost


def _raw_lines(text: str) -> dict[str, str]:
    """Variables of an environment file in which nothing is interpreted."""
    halves = (line.partition("=") for line in text.replace("$", "$$").splitlines())
    return {name: value for name, equals, value in halves if equals}


def of_shell(part: Taking, image: str) -> Iterator[str]:
    """Variables that only the shell knows: what names an image or a build with one is left out."""
    for route in _OF_SHELL.split():
        value = image if route == "image" else part.peek(*route.split("."))
        for place, text in leaves(None if isinstance(value, dict) else value, route):
            how = "left out" if route.startswith(("image", "build")) else "it stays as it is written"
            for name in SHELL_VARIABLE.findall(str(text)):
                yield f"{part.name}: {place}: '{name}' (its value comes from the shell: {how})"


def public(variables: Mapping[str, str]) -> dict[str, str]:
    """Those whose value is known and looks like no secret."""
    return {
        name: value
        for name, value in variables.items()
        if not (SECRET_NAME.search(name) or CREDENTIALS.search(value) or SHELL_VARIABLE.search(value))
    }


def with_values(value: Any, known: Mapping[str, str], told: dict[str, None]) -> Any:
    """A Compose file, or a part of it, with what its references to variables stand for.

    Arguments:
        known: variables of `.env`; none of them has a reference in its value.
        told: gets each default that was put in, and the name of each variable whose value was.

    Returns:
        The same with references left where only a shell knows the value.
    """
    if isinstance(value, dict):
        return {key: with_values(one, known, told) for key, one in value.items()}
    if isinstance(value, list):
        return [with_values(one, known, told) for one in value]
    if not isinstance(value, str):
        return value

    def stands_for(found: re.Match[str]) -> str:
        how = found["how"] or ""
        there = known.get(found["name"] or found["bare"])
        if there is not None and (there or not how.startswith(":")):
            told[found["name"] or found["bare"]] = None
            return found["dollars"] + (found["word"] if how.endswith("+") else there)
        if not how.endswith("-"):
            return found[0]
        told[found["all"]] = None
        return found["dollars"] + found["word"]

    while (put := _INNERMOST.sub(stands_for, value)) != value:
        value = put
    return value


def compose_build(part: Taking, declared: Any, lost: list[str]) -> tuple[str | None, dict[str, Any]]:
    """Context and further keys of a service's `build`, by the keys of a component in `delivery.yaml`.

    Arguments:
        part: the service, of which they are taken.
        declared: `secrets` of the Compose file.
        lost: gets a line for each entry that only Compose or a shell knows.
    """
    if not isinstance(part.peek("build"), dict):
        return _known(part.take("build")), {}
    context = _known(part.take("build", "context") or ".")
    kept: dict[str, dict[str, str]] = {"args": {}, "additional_contexts": {}}
    shells, others = "its value is known to the shell alone", "neither a folder here nor an image"
    for key, why in (("args", shells), ("additional_contexts", others)):
        for name, one in pairs(part.take("build", key)):
            if (known := _known(one)) is not None and (key == "args" or _is_context(known)):
                kept[key][name] = known
            else:
                lost.append(f"{part.name}: build.{key}: {name} ({why})")
    dockerfile = _known(part.take("build", "dockerfile"))
    if part.take("build", "dockerfile_inline") is not None:
        dockerfile = f"{part.name.rpartition(' ')[2]}.Dockerfile"
        lost.append(f"{part.name}: build.dockerfile_inline (write it into '{dockerfile}' in '{context}')")
    keys = {
        "dockerfile": dockerfile,
        "target": _known(part.take("build", "target")),
        "build-args": kept["args"],
        "platforms": list(map(str, part.take("build", "platforms") or ())),
        "additional-contexts": kept["additional_contexts"],
        "secrets": dict(_secrets(part, declared if isinstance(declared, dict) else {}, lost)),
        "cache": found_values({way: [*_cache(part, f"cache_{way}", lost)] for way in ("from", "to")}),
    }
    return context, found_values(keys)


def _known(value: Any) -> str | None:
    """A text in which no variable is left, with its dollars as they are meant."""
    known = isinstance(value, str) and not SHELL_VARIABLE.search(value)
    return value.replace("$$", "$") if known else None


def _is_context(place: str) -> bool:
    return place.startswith("docker-image://") or not (":" in place or is_outside(place))


def _secrets(part: Taking, declared: dict[Any, Any], lost: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Id that the Dockerfile names → variable or file, as the Compose file declares it."""
    for at in part.keys("build", "secrets"):
        one = part.take("build", "secrets", at)
        said = one if isinstance(one, dict) else {"source": one}
        held = Taking(declared.get(said.get("source")), "")
        places = {"env": held.peek("environment"), "file": held.peek("file")}
        if not any(places.values()):
            why = "the file declares neither a variable nor a file for it"
            lost.append(f"{part.name}: build.secrets[{at}]: {said.get('source')} ({why})")
            continue
        yield str(said.get("target") or said["source"]), {key: str(one) for key, one in places.items() if one}


def _cache(part: Taking, key: str, lost: list[str]) -> Iterator[str]:
    """Places of a cache; an image alone is one in its registry (docker, "build --cache-from")."""
    for at in part.keys("build", key):
        place = str(part.take("build", key, at))
        if tells_secret(place) or "$" in place:
            lost.append(f"{part.name}: build.{key}[{at}] (of the shell, or with a secret)")
        else:
            yield place if "=" in place else f"type=registry,ref={place}"
