"""Secrets by where they stand: values of Kubernetes Secrets, of their generators, and of variables."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.reading import Marked, Route
from pipegraft.iac.guard.documents import (
    Generators,
    documents_in,
    list_of,
    mapping_of,
    mappings,
    parsed,
    scalar_of,
    text_of,
)
from pipegraft.iac.guard.secret_forms import MEANT

__all__ = ["generated_secrets", "secret_manifests"]

_NAMED = re.compile(
    r"(?i)(?:.*_)?(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|CREDENTIALS?|(?:API|PRIVATE|SECRET|ACCESS)_?KEY)"
)
_NO_SECRET = re.compile(
    r"\s*|\d+|(?i:true|false|yes|no|on|off|none)|\$[A-Z_][A-Z0-9_]*|\$__\w+\{[^}]*\}|file\([\w.-]*/[\w./-]+\)"
    r"|%\(\w+\)s|@\{[\w.-]+:[\w.-]+\}"
)
"""No value, or where one is: variables of shells, references of Grafana, Python, Telegraf and others."""
_FILLED_IN = re.compile(r"\{\{|\$\{|\$\(|<path:|ENC\[|ref\+[\w.]+://\S+")
"""Where begins what tools fill in or decrypt later: Helm, Flux, Argo CD's Vault plugin, SOPS, vals."""
_ENDS = {"{{": "}}", "${": "}", "$(": ")", "<path:": ">", "ENC[": "]"}
_LITERAL = re.compile(r"\$\{\w+(?::?[-=+]|/)[^}$]{3,}\}")
"""A placeholder of Flux or a shell that holds the value itself, always or when there is no other."""
_NOTHING = re.compile(r"\{\{-?\s*(?:/\*.*?\*/|\"\"|``)\s*-?\}\}", re.DOTALL)
"""A placeholder of Helm that comes to nothing."""
_STRING = re.compile(r"\"((?:[^\"\\]|\\.)*)\"|`([^`]*)`|'([^'])'")
_FILLING = re.compile(r"\{\{((?>\"(?:[^\"\\]|\\.)*\"|`[^`]*`|(?!\{\{).)*?)\}\}", re.DOTALL)
"""What Helm fills in; texts may hold braces."""
_SET = re.compile(r"\{\{-?\s*(\$\w+)\s*:?=\s*(\"[^\"\n]*\"|`[^`\n]*`)[^}]*\}\}")
"""A variable of a template that gets a text (Go's text/template, "Variables")."""
_VARIABLE = re.compile(r"\$\w++(?!\s*+:?=)")
_USED = re.compile(r"(?:include|template)\s+\"([^\"]+)\"\s+(?:[\w.$]++|\([^()]*+\))")
_DEFINED = re.compile(
    r"\{\{-?\s*+define\s++\"([^\"]++)\"\s*+-?\}\}\s*+"
    r"(?:\{\{-?\s*+(?:print\s++)?[\"`]([^\"`]*+)[\"`](?:\s*+\|\s*+\w++)?\s*+-?\}\}\s*+|([^{}]*+))\{\{-?\s*+end\b"
)
"""A part of a template that is nothing but a text (its "Nested template definitions")."""
_NAMES = re.compile(
    r"[.$]\S*|index|get|lookup|include|template|define|block|required|fail|dig|pluck|pick|omit|unset|has(?:Key)?|eq|ne"
    r"|[lg][te]|contains|hasPrefix|hasSuffix|trim(?:Suffix|Prefix|All)|(?:must)?[rR]egex\w+|replace|split\w*|join"
    r"|(?:kind|type)Is|semver\w*|derivePassword|gen(?:CA|SignedCert|SelfSignedCert|PrivateKey)\w*|date|dateInZone"
    r"|toDate|getHostByName|env|expandenv"
)
"""Functions and methods of templates whose texts are names, messages and separators."""
_FINDS = re.compile(r"[.$]\S*|include|index|lookup")
_GROUPS = ("dict", "list", "tuple")
_NOT_SHOWN = re.compile(r"-?\s*(?:(?:else|range|with)\b|\$\w+\s*:?=)")
_WORD = re.compile(r"[A-Za-z0-9+_!#%^&*~.-]+")
_VARIABLES = re.compile(r"(?:.*[./])?env(?:\.[\w-]+)*|.*\.(?:properties|tfvars|ini|cfg|conf|toml)", re.DOTALL)
"""Files of `NAME=value` lines."""
_SETTINGS = re.compile(r".*\.(?:ini|cfg|conf|toml)", re.DOTALL)
"""Those in which a secret's name often stands where its value could."""
_LOWER = re.compile(r"\$[A-Za-z_]+")
_PASSWORD = re.compile(r"(?:.*_)?(?:password|passwd|passphrase|api_?key|private_?key)", re.IGNORECASE)
"""Keys of values, with `_` before each capital, that hold a secret and no name of one."""
_RANDOM = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*\d)[\w+/=!#%^&*~.-]{10,}|[0-9a-f]{32,}")
"""What is no name in Kubernetes, and no word."""
_GIVEN = re.compile(r"-{0,2}([\w.-]+)=(.*)", re.DOTALL)
"""An option, or a literal of a generator."""
_CREDENTIALS = re.compile(
    r"(?:.*/)?(?:[._]netrc|\.pgpass|\.htpasswd|\.git-credentials|\.dockercfg|\.docker/config\.json|id_(?:rsa|dsa|ecdsa"
    r"|ed25519)|.*\.(?:kdbx|p12|pfx|jks|keystore))",
    re.IGNORECASE | re.DOTALL,
)
"""Files that hold nothing else."""
_SECRET_WORD = re.compile(
    r"(?i:password|passwd|passphrase|api_?key|private_?key|secret|token|credential|access_?key)|\buser\b|\benv\b"
    r"|\\u|\\x|!!binary|[&*<]"
)
"""A Secret is one only with this word, or with something that could spell it."""
_SECRET_LINES = re.compile(r"[\"']?kind[\"']?\s*:\s*(?:\{\{-?\s*)?[\"'`]?Secret(?:List)?\b", re.IGNORECASE)
_SECTION = re.compile(r"(?<![\w.-])[\"']?(?:data|stringData)[\"']?\s*:(?=\s|$)")
_PAIR = re.compile(r"(?:-\s+)?[\"']?([\w.-]+)[\"']?\s*:(?:\s+|$)(.*)", re.DOTALL)
_DECORATION = re.compile(r"^\s*(?:[&!]\S+\s+|\{(?!\{)\s*)+|\s#.*")
"""What stands before a value, and a comment behind it."""
_EMPTY = re.compile(r"[|>][-+\d]*|null|~|[{}\[\]\s]*")
_KEEP_IT = "keep the value in the secret store, or encrypt the file"
_USER_KEYS = ("token", "password", "client-key-data", "id-token", "refresh-token", "client-secret")
"""Of a kubeconfig's users and their `auth-provider`."""


def is_elsewhere(value: str) -> bool:
    """Whether a value is no secret: none, a number, or what tools fill in later, and nothing beside."""
    if _NO_SECRET.fullmatch(value):
        return True
    value = _NOTHING.sub("", value)
    rest = _without_placeholders(value)
    literal = _LITERAL.search(value) or any(map(_holds_text, _FILLING.findall(value)))
    return rest != value and not literal and not any(map(_is_word, _WORD.findall(rest)))


def _holds_text(expression: str) -> bool:
    """Whether what Helm fills in holds the value itself: a text that is no name, format or placeholder."""
    for found in _STRING.finditer(expression):
        said = next(filter(None, found.groups()), "")
        if _FILLED_IN.search(said) or "%" in said or _NO_SECRET.fullmatch(said):
            continue
        *outer, call = _calls(_STRING.sub("''", expression[: found.start()]))
        function = call[0] if call else ""
        is_part = function in ("print", "printf") and outer and _FINDS.fullmatch(" ".join(outer[-1][:1]))
        if _NAMES.fullmatch(function) or is_part:
            continue
        is_given = ["include"] in [one[:1] for one in outer]
        words = re.findall("[A-Za-z0-9]+", said) if is_given else _WORD.findall(said)
        is_key = bool(function in ("dict", "htpasswd") and len(call) % 2)
        if not (is_key and is_given) and any(map(_RANDOM.fullmatch, words)):
            return True
        is_group = function in _GROUPS and (is_given or _NOT_SHOWN.match(expression))
        if not (is_key or is_group or re.match(r"-?\s*(?:else\s+)?if\b", expression)):
            return True
    return False


def _calls(text: str) -> list[list[str]]:
    """The calls of a template that go on at a text's end, function and arguments, the innermost last."""
    closed = 1
    while closed:
        text, closed = re.subn(r"\([^()]*\)", "_", text)
    parts = text.lstrip("- ").split("(")
    return [re.split(r"\||=|(?:^|\s)(?:if|with|range)(?=\s|$)", one)[-1].split() for one in parts]


def _without_variables(text: str) -> str:
    """A template with the longest text that each variable, or part, gets in its place; lines stay."""
    told = dict(sorted(_SET.findall(text), key=lambda one: len(one[1])))
    text = _VARIABLE.sub(lambda one: told.get(one[0], one[0]), text) if told else text
    parts = {one[1]: _text_of(one) for one in _DEFINED.finditer(text)}
    return _USED.sub(
        lambda one: json.dumps(parts[one[1]], ensure_ascii=False) if one[1] in parts else one[0], text
    )


def _text_of(part: re.Match[str]) -> str:
    return part[2] or (part[3] or "").rstrip()


def _defined(path: str, text: str) -> Iterator[Problem]:
    """Parts of templates with the name of a secret that come to a text of their own."""
    for part in _DEFINED.finditer(text):
        name, said = part[1].rpartition(".")[2], _text_of(part)
        if is_elsewhere(said) or re.search(r"\s", said):
            continue
        if _is_password(name) or (_NAMED.fullmatch(_words(name)) and _RANDOM.fullmatch(said)):
            place = Place(path, text.count("\n", 0, part.start()) + 1)
            yield Problem(f"'{part[1]}' looks like a secret, and its value stands here", place, _KEEP_IT)


def _without_placeholders(value: str) -> str:
    """The text beside what is filled in; what does not end is none."""
    kept, at = [], 0
    while found := _FILLED_IN.search(value, at):
        end = _ENDS.get(found[0], "")
        filling = _FILLING.match(value, found.start())
        last = filling.end(1) if filling else value.find(end, found.end())
        if last < 0:
            break
        kept += [value[at : found.start()], " "]
        at = last + len(end)
    return "".join(kept) + value[at:]


def _is_word(word: str) -> bool:
    """Whether a word beside a placeholder can be a secret by itself: letters and digits, six at least."""
    return len(word) >= 6 and any(map(str.isalpha, word)) and any(map(str.isdigit, word))


def _is_meant(place: Place | None, lines: Sequence[str]) -> bool:
    return MEANT in _line(place, lines)


def _line(place: Place | None, lines: Sequence[str]) -> str:
    """The line of a place; empty if it has none, or one that only YAML counts."""
    return lines[place.line - 1] if place and 0 < (place.line or 0) <= len(lines) else ""


def secret_manifests(path: str, text: str, before: str = "") -> Iterator[Problem]:
    """Kubernetes Secrets, at any depth, that hold what is neither encrypted (SOPS) nor filled in later.

    Variables and values with the name of a secret are told where their lines come anew.

    Arguments:
        before: the file's text as it was.
    """
    lines = text.splitlines()
    if _CREDENTIALS.fullmatch(path) and not is_elsewhere(text):
        yield Problem("a file of credentials", Place(path), _KEEP_IT)
    yield from _variable_lines(path, lines)
    yield from _defined(path, text) if "define" in text else ()
    if not _SECRET_WORD.search(text):
        return
    text = _without_variables(text)
    try:
        documents = parsed(path, text)
    except ConfigError as error:
        if "{{" not in text and _SECRET_LINES.search(text):
            yield from error.problems  # some tools may read it, or a part of it
        yield from _secret_lines(path, text)
        return
    known = set(before.splitlines())
    for document in documents:
        for mapping, route in mappings(document.data, _may_hold_secret):
            yield from _in_mapping(document, mapping, route, lines, known)


def _in_mapping(
    document: Marked, mapping: Mapping[str, Any], route: Route, lines: Sequence[str], known: set[str]
) -> Iterator[Problem]:
    for message, at in _secrets(mapping, route):
        if not _is_meant(document.place(at), lines):
            yield Problem(message, document.place(at), _KEEP_IT)
    for message, at in _named(mapping, route):
        place = document.place(at)
        if not _is_meant(place, lines) and _line(place, lines) not in known:
            yield Problem(message, place, f"{_KEEP_IT}; if it is none, put '# {MEANT}' behind it")


def _variable_lines(path: str, lines: Sequence[str]) -> Iterator[Problem]:
    for number, line in enumerate(lines if _VARIABLES.fullmatch(path) else (), start=1):
        name, _, value = line.removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip(" \"'")
        if not _NAMED.fullmatch(name.replace(".", "_")) or is_elsewhere(value):
            continue
        told = not _SETTINGS.fullmatch(path) or any(map(_RANDOM.fullmatch, _WORD.findall(value)))
        if told or (_is_password(name.lstrip("#; ")) and name[0] not in "#;" and not _LOWER.fullmatch(value)):
            yield Problem(f"a variable with its value: '{name}'", Place(path, number), _KEEP_IT)


def _may_hold_secret(_route: Route, text: str) -> bool:
    return ("\n" in text or "{" in text) and bool(_SECRET_WORD.search(text))


def _secrets(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """Values of a Secret, of a generator of Secrets, or a kubeconfig, and where."""
    kind = (text_of(data.get("kind")) or "").lower()
    for key, value, at in (*_held(data, kind, route), *_generated(data, kind, route)):
        if not is_elsewhere(value) or (_is_password(key) and re.fullmatch(r"\d{6,}", value)):
            yield f"a Secret with its value: '{key}'", at
    if "secret" in kind and kind != "secret":
        yield from _in_templates(data, route)
    if text_of(mapping_of(data.get("target")).get("kind")) == "Secret":
        yield from _patched(data, route)


_Held = Iterator[tuple[str, str, Route]]
"""Keys with their values, and where these stand."""


def _held(data: Mapping[str, Any], kind: str, route: Route) -> _Held:
    """What Secrets, their lists and kubeconfigs hold."""
    for section in ("stringData", "data") if kind == "secret" else ("stringData",):
        for key, value in mapping_of(data.get(section)).items():
            yield key, text_of(value) or str(value), (*route, section, key)
    for index, one in enumerate(list_of(data.get("items")) if kind == "secretlist" else ()):
        for key, value in mapping_of(mapping_of(one).get("data")).items():
            yield key, text_of(value) or str(value), (*route, "items", index, "data", key)
    user = mapping_of(data.get("user"))
    provided = mapping_of(mapping_of(user.get("auth-provider")).get("config"))
    for key in _USER_KEYS:
        yield key, text_of({**provided, **user}.get(key)) or "", (*route, "user")


def _generated(data: Mapping[str, Any], kind: str, route: Route) -> _Held:
    """What kustomize's generators of Secrets say themselves; of files in the clear, their names."""
    for index, one in enumerate(list_of(data.get("secretGenerator"))):
        for literal in list_of(mapping_of(one).get("literals")):
            key, _, value = (text_of(literal) or "").partition("=")
            yield key, value, (*route, "secretGenerator", index)
    if kind == "secretgenerator":
        for literal in list_of(data.get("literals")):
            yield str(literal), str(literal).partition("=")[2], route
        for key in ("files", "envs"):
            yield key, " ".join(map(str, list_of(data.get(key)))), (*route, key)


def _named(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """Variables of containers, and keys of values, with the name of a secret and a value of their own."""
    held = [(key, scalar_of(value), (*route, key)) for key, value in data.items()]
    if route[-1:] == ("encryptedData",):  # a SealedSecret's
        held = []
    for key, value in data.items():
        for index, one in enumerate(list_of(value)):
            if given := _GIVEN.fullmatch(text_of(one) or ""):
                held.append((given[1], given[2], (*route, key, index)))
    called = str(data.get("name") or data.get("path") or "")
    name, is_variable = called.rpartition("/")[2], re.search("(?i)env|data/", f"{route[-2:-1]}{called}")
    variables = route[-1:] == ("env",)
    held.append((name, text_of(data.get("value")), (*route, "value")))
    for key, value, at in held:
        if value is None or is_elsewhere(value) or (not variables and re.search(r"\s", value.strip())):
            continue
        is_token = route[-2:-1] == ("parameters",) and _is_token(key, value)
        variable = variables or (name == key and (is_variable or is_token))
        if _is_password(key) or (_NAMED.fullmatch(_words(key)) and (variable or _RANDOM.fullmatch(value))):
            yield f"'{key}' looks like a secret, and its value stands here", at


def _in_templates(data: Any, route: Route) -> Iterator[tuple[str, Route]]:
    """Values in what operators make Secrets by, of `ExternalSecret`, `SealedSecret` and the like.

    Texts in which something is filled in, names and addresses are none.
    """
    for key, value in data.items() if isinstance(data, Mapping) else enumerate(list_of(data)):
        said = text_of(value)
        if said is None:
            yield from _in_templates(value, (*route, key)) if key != "encryptedData" else ()
        elif route[-2:-1] == ("template",) or "fake" in route:
            words = [] if _FILLED_IN.search(said) else _WORD.findall(said)
            if not is_elsewhere(said) and (_is_password(str(key)) or any(map(_RANDOM.fullmatch, words))):
                yield f"a Secret with its value: '{key}'", (*route, key)


def _patched(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """What a kustomization's patch of a Secret puts there (RFC 6902)."""
    for document in documents_in(text_of(data.get("patch")) or ""):
        for one in list_of(document):
            path, value = str(mapping_of(one).get("path")), text_of(mapping_of(one).get("value"))
            if value and path.startswith(("/data/", "/stringData/")) and not is_elsewhere(value):
                yield f"a Secret with its value: '{path}'", (*route, "patch")


def _is_password(key: str) -> bool:
    return bool(_PASSWORD.fullmatch(_words(key)))


def _is_token(key: str, value: str) -> bool:
    """Whether a parameter is a token itself, and no name of where one is."""
    return key.lower().endswith("token") and not re.search("(?i)token|secret|key|name|[/:]", value)


def _words(key: str) -> str:
    """A key in words: `db.rootPassword` as `db_root_Password`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[-.]", "_", key)


def _secret_lines(path: str, text: str) -> Iterator[Problem]:
    """The same by lines, for what cannot be parsed: a template's own values are in braces."""
    first = 1
    for part in re.split(r"^---", text, flags=re.MULTILINE):
        lines = part.split("\n")
        for index, key, value in _lines_of_data(lines) if _SECRET_LINES.search(part) else ():
            if not (is_elsewhere(value) or _EMPTY.fullmatch(value)):
                yield Problem(f"a Secret with its value: '{key}'", Place(path, first + index), _KEEP_IT)
        first += len(lines) - 1


def _lines_of_data(lines: Sequence[str]) -> Iterator[tuple[int, str, str]]:
    """Index, key and value of each line below `data` or `stringData`, also of one that goes on."""
    inside, key = -1, ""
    for index, line in enumerate(lines):
        bare, depth = line.strip(), len(line) - len(line.lstrip())
        if not bare or bare.startswith("#"):
            continue
        if found := _SECTION.search(line):
            inside, value = depth, line[found.end() :]
        elif inside < 0 or (depth <= inside and not bare.startswith(("{{", "}", "- "))):
            inside = -1
            continue
        else:
            pair = _PAIR.match(bare)
            key, value = pair.groups() if pair else (key, bare)
        yield index, key, _DECORATION.sub("", value).strip(" \t\r\"'")


def generated_secrets(path: str, generators: Generators) -> Iterator[Problem]:
    """Files in clear text that become Secrets.

    Arguments:
        path: a file that changed: the kustomization, or one that it may name.
    """
    for place, named, held in generators.files(path):
        if not _is_encrypted(held):
            yield Problem(f"a Secret is made of it by {place}", Place(named), _KEEP_IT)


def _is_encrypted(text: str) -> bool:
    """Whether SOPS encrypted a file, or nothing in it is a value (`NAME=${FILLED_IN}` lines)."""
    if "ENC[" in text and "sops" in text:
        return True
    values = [line.partition("=")[2] for line in text.splitlines() if "=" in line]
    return bool(values) and all(map(is_elsewhere, values))
