"""What a file may hold: images that are pinned, Secrets without values, and text that is what it seems."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.yaml_positions import Marked, Route, load_marked, load_marked_all
from pipegraft.iac.guard.secret_forms import MEANT

__all__ = ["pinned_in_manifests", "pinned_in_spec", "secret_manifests", "secret_variables", "strange_text"]

_PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_DIGEST = re.compile(r"(?:[^\s@]*@)?sha256:[0-9a-f]{64}")
_PIN_IT = "pin it: a tag can name another image tomorrow"
_DOCUMENTS = (".yaml", ".yml", ".json")
_IMAGE_PARTS = {"newName", "newTag", "repository", "tag", "digest"}
_PARAMETER = re.compile(r"(?:.+\.)?image(?:\.(?:tag|digest))?")
"""Names of Helm's parameters that say which image (Argo CD's `helm.parameters`)."""
_REMOTE = re.compile(
    r"(?:[a-z+]+://|git@|git::|github\.com[/:]|[\w.-]+\.\w+/[\w.-]+/).*|.*(?:\?ref=|\.git//).*"
)
"""What kustomize fetches (its "Remote targets")."""
_HELD = (
    "resources",
    "bases",
    "components",
    "crds",
    "generators",
    "transformers",
    "validators",
    "configurations",
)
"""Lists of a kustomization that name what belongs to it."""
_CONVERTS = re.compile(r"\s(working-tree-encoding|filter|ident|export-subst|export-ignore|merge)(?:=|\s|$)")
"""Attributes (gitattributes(5)) by which a file changes on its way to a tool."""
_INLINE = ("patch", "values", "patches", "patchesStrategicMerge", "patchesJson6902", "valuesInline")
"""Keys of kustomizations and Argo CD Applications whose text is a document of its own."""
_MOST_NESTED = 3
"""Documents in texts of documents."""


def strange_text(path: str, content: bytes) -> Iterator[Problem]:
    """Why what tools check out or read of a file would not be what is checked.

    Arguments:
        path: the file.
        content: its bytes.
    """
    name = path.rpartition("/")[2]
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        told = f"expected text in UTF-8, found byte {content[error.start]:#04x} at {error.start}"
        yield Problem(told, Place(path), "save it as UTF-8, or see 'binaries'")
        return
    if "\0" in text:
        yield Problem("expected text, found a NUL", Place(path), "save it as UTF-8, or see 'binaries'")
    if text.startswith("version https://git-lfs.github.com/spec/"):
        told = "a pointer of Git LFS: what it stands for is not checked"
        yield Problem(told, Place(path, 1), "put the file itself there")
    if name.lower() == ".gitattributes":
        for number, line in enumerate(text.splitlines(), start=1):
            if found := _CONVERTS.search(line.partition("#")[0]):
                told = f"'{found[1]}': what is checked out would not be what is checked"
                yield Problem(told, Place(path, number), "take it out")


def pinned_in_spec(path: str, text: str) -> Iterator[Problem]:
    """Images of components, at any depth, that are not pinned."""
    try:
        marked = load_marked(text, path)
    except ConfigError:
        return  # told by the check of the spec
    for route in marked.values:
        if route[-1:] == ("image",) and "components" in route:
            yield from _pinned(marked, route)


def pinned_in_manifests(path: str, text: str) -> Iterator[Problem]:
    """What is not pinned in manifests, Helm values and kustomizations, also in documents inside of texts.

    An image is a text at a key ``image``, a mapping there with ``digest`` or without, an entry of a
    kustomization's ``images``, a JSON patch of one, or a base that is fetched from elsewhere.
    """
    try:
        documents = load_marked_all(text, path)
    except ConfigError as error:
        if path.endswith(_DOCUMENTS) or path.rpartition("/")[2].lower() == "kustomization":
            yield from error.problems
        return
    for marked in documents:
        if path.endswith(_DOCUMENTS) and isinstance(marked.data, str):
            yield Problem(
                "expected a document, found a text", marked.place(()), "tools may read it otherwise"
            )
        for mapping, route in _mappings(marked.data, _is_inline):
            for message, at in _unpinned(mapping, route):
                yield Problem(message, marked.place(at), _PIN_IT)


def _mappings(
    data: Any, is_document: Callable[[Route, str], bool], route: Route = (), nested: int = 0
) -> Iterator[tuple[Mapping[str, Any], Route]]:
    """Every mapping in a value, and where it stands, or the text that it stands in.

    Arguments:
        is_document: route and text → whether it is looked into.
    """
    if isinstance(data, list):
        for index, one in enumerate(data):
            yield from _mappings(one, is_document, (*route, index), nested)
    elif isinstance(data, Mapping):
        yield data, route
        for key, value in data.items():
            yield from _mappings(value, is_document, (*route, key), nested)
    elif (said := _text(data)) is not None and nested < _MOST_NESTED and is_document(route, said):
        for document in _documents(said):
            yield from _mappings(document, is_document, route, nested + 1)


def _is_inline(route: Route, text: str) -> bool:
    key = next((part for part in reversed(route) if isinstance(part, str)), "")
    return key in _INLINE and ":" in text


def _documents(text: str) -> list[Any]:
    """The documents of a text; nothing if it holds none."""
    try:
        return [one.data for one in load_marked_all(text, "inline")]
    except ConfigError:
        return []


def _unpinned(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """What one mapping says of images by itself that is not pinned, and where."""
    yield from _unpinned_kustomization(data, route)
    for key in ("image", "Image", "IMAGE"):  # parsers in Go may take any for the first
        image, said = data.get(key), _text(data.get(key))
        if said is not None:
            yield from _unpinned_image(said, (*route, key))
        elif isinstance(image, Mapping):
            yield from _unpinned_mapping(image, (*route, key))
    value = _text(data.get("value"))
    if value is not None and "op" in data and str(data.get("path", "")).endswith("/image"):
        yield from _unpinned_image(value, (*route, "value"))
    named = _PARAMETER.fullmatch(str(data.get("name", "")))
    if value is not None and named and not _DIGEST.fullmatch(value):
        yield f"expected a digest in '{named[0]}', found '{value}'", (*route, "value")


def _unpinned_kustomization(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """Its entries of images, those of Helm values and Argo CD Applications, and bases from elsewhere."""
    images = data.get("images")
    entries = images.items() if isinstance(images, Mapping) else enumerate(_list(images))
    for index, one in entries:
        here = (*route, "images", index)
        if isinstance(one, Mapping) and (not route or _IMAGE_PARTS & one.keys()):
            yield from _unpinned_mapping(one, here)
        elif isinstance(one, str) and re.search("[:@=]", one):
            yield from _unpinned_image(one.rpartition("=")[2], here)
    for key in _HELD:
        for index, one in enumerate(_list(data.get(key))):
            if isinstance(one, str) and _REMOTE.fullmatch(one):
                yield f"'{one}' is fetched from elsewhere: what it holds is not checked", (*route, key, index)


def _unpinned_image(said: str, route: Route) -> Iterator[tuple[str, Route]]:
    if not _PINNED.fullmatch(said):
        yield f"expected an image pinned by digest (name@sha256:…), found '{said}'", route


def _unpinned_mapping(value: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """An image in parts: of Helm values, of a kustomization, or of a volume (``reference``)."""
    if "reference" in value:
        yield from _unpinned_image(_text(value["reference"]) or "", (*route, "reference"))
        return
    name = value.get("newName") or value.get("name") or value.get("repository") or value.get("repo")
    if name is None:
        return
    parts = [_text(value.get(key)) or "" for key in ("digest", "sha", "newTag", "tag")]
    digest = parts[0] or (f"sha256:{parts[1].removeprefix('sha256:')}" if parts[1] else "")
    if digest and _DIGEST.fullmatch(digest):
        return
    if not digest and any("@" in tag and _DIGEST.fullmatch(tag) for tag in parts[2:]):
        return
    found = digest or parts[2] or parts[3] or "none"
    yield f"expected '{name}' with a digest, found '{found}'", route


def _text(value: Any) -> str | None:
    """A text, also one that stands there in base64 (``!!binary``)."""
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    return value if isinstance(value, str) else None


def _pinned(marked: Marked, route: Route) -> Iterator[Problem]:
    said = _text(_at(marked.data, route))
    for message, _ in _unpinned_image(said, route) if said is not None else ():
        yield Problem(message, marked.place(route), _PIN_IT)


_NAMED = re.compile(r"(?i)(?:.*_)?(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)")
_ELSEWHERE = re.compile(
    r"\s*|\d+|true|false|.*(?:\$[({]|\{\{|<path:|ref\+|ENC\[).*", re.IGNORECASE | re.DOTALL
)
"""Values that are no secrets: none, numbers, and what tools fill in or decrypt later."""


def secret_variables(path: str, before: str, after: str) -> Iterator[Problem]:
    """Variables of an app spec or environment with the name of a secret and a value of their own."""
    held = _variables(_loaded(path, before))
    marked = _loaded(path, after)
    lines = after.splitlines()
    for route, value in _variables(marked).items():
        place = marked.place(route) if marked else None
        if held.get(route) == value or (place and place.line and MEANT in lines[place.line - 1]):
            continue
        yield Problem(
            f"'{route[-1]}' looks like a secret by its name, and its value stands here",
            place,
            f"write {{secret: NAME, key: KEY}}; if it is none, put '# {MEANT}' behind it",
        )


def _variables(marked: Marked | None) -> dict[Route, str]:
    found: dict[Route, str] = {}
    for route in marked.values if marked else ():
        if len(route) > 1 and route[-2] == "env" and _NAMED.fullmatch(str(route[-1])):
            value = _at(marked.data, route) if marked else None
            if isinstance(value, str) and not _ELSEWHERE.fullmatch(value):
                found[route] = value
    return found


def _at(data: Any, route: Route) -> Any:
    for part in route:
        data = data[part]
    return data


def _loaded(path: str, text: str) -> Marked | None:
    try:
        return load_marked(text, path)
    except ConfigError:
        return None  # told by the check of the spec


_SECRET_WORD = re.compile(r"Secret|user|secretGenerator|\\u|\\x|!!binary|[&*<]")
"""A Secret is one only with this word, or with something that could spell it."""
_SECRET_LINES = re.compile(r"[\"']?kind[\"']?\s*:\s*[\"']?Secret\b[\"']?\s*(?:[,}#\n]|$)")
_SECTION = re.compile(r"^(?P<indent>[ \t]*)[\"']?(?:data|stringData)[\"']?\s*:\s*$", re.MULTILINE)
_FLOW = re.compile(r"\b(?:data|stringData)[\"']?\s*:\s*\{([^{}]+)\}")
_KEEP_IT = "keep the value in the secret store, or encrypt the file"


def secret_manifests(path: str, text: str) -> Iterator[Problem]:
    """Kubernetes Secrets, at any depth, that hold what is neither encrypted (SOPS) nor filled in later."""
    if path.endswith(".env"):
        for number, line in enumerate(text.splitlines(), start=1):
            name, _, value = line.partition("=")
            if _NAMED.fullmatch(name.strip()) and not _ELSEWHERE.fullmatch(value.strip(" \"'")):
                yield Problem(f"a variable with its value: '{name.strip()}'", Place(path, number), _KEEP_IT)
    if not _SECRET_WORD.search(text):
        return
    try:
        documents = load_marked_all(text, path)
    except ConfigError:
        yield from _secret_lines(path, text)  # a template, or what no careful parser takes
        return
    for document in documents:
        for mapping, route in _mappings(document.data, _may_hold_secret):
            for message, at in _secrets(mapping, route):
                yield Problem(message, document.place(at), _KEEP_IT)


def _may_hold_secret(_route: Route, text: str) -> bool:
    return "Secret" in text and "\n" in text


def _secrets(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """Values of a Secret, or of a generator of Secrets, and where."""
    held: list[tuple[str, str, Route]] = []
    if _text(data.get("kind")) == "Secret":
        for section in ("data", "stringData"):
            for key, value in _mapping(data.get(section)).items():
                held.append((key, _text(value) or str(value), (*route, section, key)))
    for index, one in enumerate(_list(data.get("secretGenerator"))):
        for literal in _list(_mapping(one).get("literals")):
            key, _, value = (_text(literal) or "").partition("=")
            held.append((key, value, (*route, "secretGenerator", index)))
    user = _mapping(data.get("user"))  # of a kubeconfig
    keys = ("token", "password", "client-key-data")
    held += [(key, _text(user.get(key)) or "", (*route, "user")) for key in keys]
    for key, value, at in held:
        if not _ELSEWHERE.fullmatch(value):
            yield f"a Secret with its value: '{key}'", at


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _secret_lines(path: str, text: str) -> Iterator[Problem]:
    """The same by lines, for what cannot be parsed: a template's own values are in braces."""
    for start in [0, *(found.end() for found in re.finditer(r"^---", text, re.MULTILINE))]:
        part = re.split(r"^---", text[start:], maxsplit=1, flags=re.MULTILINE)[0]
        if not _SECRET_LINES.search(part):
            continue
        for flow in _FLOW.finditer(part):
            if not _ELSEWHERE.fullmatch(flow[1]):
                line = text.count("\n", 0, start + flow.start(1)) + 1
                name = flow[1].partition(":")[0].strip()
                yield Problem(f"a Secret with its value: '{name}'", Place(path, line), _KEEP_IT)
        for section in _SECTION.finditer(part):
            deeper = re.compile(rf"\n{section['indent']}[ \t]+[\"']?([\w.-]+)[\"']?\s*:[ \t]*([^\n]*)")
            at = section.end()
            while found := deeper.match(part, at):
                at = found.end()
                if not _ELSEWHERE.fullmatch(found[2].strip(" \t\"'")):
                    line = text.count("\n", 0, start + found.start(1)) + 1
                    yield Problem(f"a Secret with its value: '{found[1]}'", Place(path, line), _KEEP_IT)
