"""What a file may hold: images that are pinned, and a name and text that are what they seem."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.reading import Marked, Route
from pipegraft.iac.guard import GUARD_FILE, matches
from pipegraft.iac.guard.documents import (
    is_inline,
    is_kustomization,
    list_of,
    mapping_of,
    mappings,
    parsed,
    scalar_of,
    text_of,
)

__all__ = [
    "Alike",
    "pinned_images",
    "pinned_in_manifests",
    "pinned_in_spec",
    "steering",
    "strange_name",
    "strange_text",
]

_PINNED = re.compile(r"[^\s@]+@sha256:[0-9a-f]{64}")
_DIGEST = re.compile(r"(?:[^\s@]*@)?sha256:[0-9a-f]{64}")
_PIN_IT = "pin it: a tag can name another image tomorrow"
_DOCUMENTS = (".yaml", ".yml", ".json")
_PROSE = (".md", ".rst", ".adoc")
_IMAGE_PARTS = {"newName", "newTag", "repository", "tag", "digest"}
_IMAGE_KEY = re.compile(
    r"(?P<prefix>.*?)image(?:(?P<version>tag|version|digest|sha|sha256)|(?P<name>name|repository|repo|ref"
    r"|reference|url|uri))?"
)
"""Keys that say which image, in small letters without `-`, `_` and `.`; whole, or one part of it."""
_REFERENCE = re.compile(r"[\w.-]+(?::\d+)?(?:/[\w.-]+)*(?:[:@][\w.:@-]+)?")
_PICTURE = re.compile(r"\.(?:png|jpe?g|svg|gif|webp|ico|iso|qcow2|img|raw)$", re.IGNORECASE)
_NO_IMAGE = re.compile(
    r"\{\{-?\s*\$(?:labels|value|externalLabels)\b[^{}]*\}\}|https?://.*|[^{}$\s]+\s[^{}$]*"
    r"|(?:\.{0,2}/.*|[^/:@]+)\.(?:png|jpe?g|svg|gif|webp|ico)",
    re.IGNORECASE | re.DOTALL,
)
"""What no tool takes for an image: Prometheus' templates, addresses of the web, sentences, pictures here."""
_OPTION = re.compile(r"(?:--?)?[\w.-]*image(?:=(.*))?", re.IGNORECASE)
"""An option of a command line, or a literal; without a value, the next word is it."""
_CONVERTS = re.compile(r"\s(working-tree-encoding|filter|ident|export-subst|export-ignore|merge)(?:=|\s|$)")
"""Attributes (gitattributes(5)) by which a file changes on its way to a tool."""
_PROGRAM = re.compile(
    r".*\.(?:(?:lib|j)sonnet|jsonnet|cue|k|pkl|dhall|star|ytt|hcl|nomad|tf(?:\.json)?|gotmpl|tpl|tmpl|j2|jinja2?|py|sh|js|ts|lua|nix)",
    re.IGNORECASE | re.DOTALL,
)
"""Files that come to manifests only when a tool has run them."""
_TEMPLATE = re.compile(r"^[ \t]*#@|\s#@ |^#!", re.MULTILINE)
"""What stands in YAML's comments, and is run: ytt's code, and what a shell starts."""
_ALIKE = ("CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC", "LISU", "FULLWIDTH", "MATHEMATICAL")
"""Alphabets with letters that look like Latin ones (Unicode TR 39)."""


def strange_name(path: str, beside: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """Why people, or a machine that does not tell letters apart, would take a name for another one.

    Arguments:
        path: the file.
        beside: a folder or file on the way → others there whose names differ only in what machines fold.
    """
    for part in path.split("/"):
        if hidden := next((one for one in part if unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp")), ""):
            told = f"the name holds U+{ord(hidden):04X}, which nobody sees"
            yield Problem(told, Place(path), "name it otherwise")
        for word in () if part.isascii() else re.findall(r"[^\W\d_]+", part):
            letters = {unicodedata.name(one, "").partition(" ")[0] for one in word}
            strange = next((one for one in _ALIKE if one in letters and "LATIN" in letters), "")
            if not strange:
                continue
            told = f"'{part}' mixes Latin letters with {strange.capitalize()} ones, which look alike"
            yield Problem(told, Place(path), "name it otherwise")
    for name, others in beside.items():
        told = f"'{name}' and '{others[0]}' are one where small letters are not told from capitals"
        yield Problem(told, Place(path), "keep one of them")


_STEERING = re.compile(
    r"(?:.*/)?(?:\.gitlab-ci\.ya?ml|Jenkinsfile.*|CODEOWNERS|\.gitmodules|\.lfsconfig)|\.gitlab/.*"
    r"|\.(?:github|gitea|forgejo)/(?:workflows|actions)/.*|\.(?:circleci|buildkite|tekton|woodpecker)/.*"
    r"|(?:azure-pipelines.*|bitbucket-pipelines|\.travis|\.drone|\.woodpecker|atlantis|\.pre-commit-config)\.ya?ml",
    re.IGNORECASE | re.DOTALL,
)
"""Files that start programs with a repository's rights, or say who must agree to what."""


def steering(path: str, allowed: Sequence[str]) -> Iterator[Problem]:
    """Whether a file that steers programs or agreements may change.

    Arguments:
        allowed: patterns of those that may.
    """
    if _STEERING.fullmatch(path) and not matches(path, allowed):
        told = "it starts programs with this repository's rights, or says who must agree to what"
        yield Problem(told, Place(path), f"name it below 'pipelines' in {GUARD_FILE} if it may change")


class Alike:
    """Names that a machine which folds letters takes for one (Unicode, "caseless matching").

    Arguments:
        names: folder, with its final slash or empty → names of what is in it.
    """

    def __init__(self, names: Callable[[str], Sequence[str]]) -> None:
        self._list = names
        self._folders: dict[str, Mapping[str, list[str]]] = {}

    def beside(self, path: str) -> Mapping[str, list[str]]:
        """Folder or file on the way to a path → others that are alike to it."""
        found: dict[str, list[str]] = {}
        folder = ""
        for part in path.split("/"):
            others = [name for name in self._names(folder).get(_folded(part), ()) if name != part]
            if others:
                found[f"{folder}{part}"] = others
            folder += f"{part}/"
        return found

    def _names(self, folder: str) -> Mapping[str, list[str]]:
        if folder not in self._folders:
            names: dict[str, list[str]] = {}
            for name in dict.fromkeys(one.partition("/")[0] for one in self._list(folder)):
                names.setdefault(_folded(name), []).append(name)
            self._folders[folder] = names
        return self._folders[folder]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


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
            if found := _CONVERTS.search("" if line.lstrip().startswith("#") else line):
                told = f"'{found[1]}': what is checked out would not be what is checked"
                yield Problem(told, Place(path, number), "take it out")


def pinned_in_spec(path: str, text: str) -> Iterator[Problem]:
    """Images of components, at any depth, that are not pinned."""
    try:
        documents = parsed(path, text)
    except ConfigError:
        return  # told by the check of the spec
    for marked in documents:
        for route in marked.values:
            if route[-1:] == ("image",) and "components" in route:
                yield from _pinned(marked, route)


def pinned_in_manifests(path: str, text: str) -> Iterator[Problem]:
    """What is not pinned in manifests, Helm values and kustomizations, also in documents inside of texts.

    An image is a text at a key ``image`` or one like ``sidecarImage``, a mapping there, its parts at keys
    like ``image_tag``, an entry of a kustomization's ``images``, a parameter, option or patch that says one.
    Programs and templates, of which nobody knows what they come to, are none of these.
    """
    found = _TEMPLATE.search(text)
    templated = "{{" in text and "/templates/" in path
    if _PROGRAM.fullmatch(path) or found or templated:
        line = text.count("\n", 0, found.start() if found else max(text.find("{{"), 0)) + 1
        told = "a program or a template: what it comes to is not checked"
        yield Problem(told, Place(path, line), "have what it comes to there")
        return
    read = path.endswith(_DOCUMENTS) or is_kustomization(path)
    read = read or ("image" in text.lower() and not path.lower().endswith(_PROSE))
    try:
        documents = parsed(path, text)
    except ConfigError as error:
        yield from error.problems if read else ()
        return
    for marked in documents:
        if read and isinstance(marked.data, str):
            told = "expected a document, found a text"
            yield Problem(told, marked.place(()), "tools may read it otherwise")
        for mapping, route in mappings(marked.data, _says_images):
            for message, at in _unpinned(mapping, route):
                yield Problem(message, marked.place(at), _PIN_IT)


def _says_images(route: Route, text: str) -> bool:
    """Whether a text is a document in which images may stand, such as a manifest in a ConfigMap."""
    return is_inline(route, text) or (bool(re.search(r"[\n{]", text)) and "image" in text.lower())


_WHOLE = re.compile(r"(?<![\w.:/-])[\w.:/-]+@sha256:[0-9a-f]{64}")


def pinned_images(path: str, text: str) -> Iterator[str]:
    """Images that a file pins: ``name@sha256:…``, whole or in parts (a kustomization's, Helm's values)."""
    yield from _WHOLE.findall(text)
    try:
        documents = parsed(path, text)
    except ConfigError:
        return
    for marked in documents:
        for mapping, _ in mappings(marked.data, is_inline):
            for one in mapping.values():
                yield from _WHOLE.findall(text_of(one) or "")
            name, said = _name_of(mapping), [text_of(mapping.get(key)) or "" for key in _DIGEST_KEYS]
            digest = next((found[0] for one in said if (found := re.search(r"[0-9a-f]{64}$", one))), "")
            if name and digest:
                yield f"{name}@sha256:{digest}"


_DIGEST_KEYS = ("digest", "sha", "newTag", "tag")


def _name_of(data: Mapping[str, Any]) -> str:
    """The name of an image in parts; empty if it has none."""
    keys = ("newName", "name", "repository", "repo")
    return next((said for key in keys if (said := text_of(data.get(key)))), "")


def _unpinned(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """What one mapping says of images by itself that is not pinned, and where."""
    yield from _unpinned_entries(data, route)
    for key, value in data.items():
        said = scalar_of(value)
        if "image" in key.lower() and said is not None:
            yield from _unpinned_text(key, said, data, (*route, key))
        elif _plain(key).endswith("image") and isinstance(value, Mapping):
            yield from _unpinned_mapping(value, (*route, key))
        elif isinstance(value, list):
            yield from _unpinned_options(key, value, (*route, key))
    repository = text_of(data.get("repository")) or "://"
    if not _is_image(route) and "://" not in repository and scalar_of(data.get("tag")):
        yield from _unpinned_mapping(data, route)
    value = scalar_of(data.get("value"))
    if "op" in data:
        yield from _unpinned_patch(data, value, (*route, "value"))
    elif value is not None and "image" in str(data.get("name", "")).lower():
        yield from _unpinned_parameter(str(data["name"]), value, (*route, "value"))
    package = text_of(mapping_of(data.get("spec")).get("package"))
    if package and str(data.get("apiVersion")).startswith("pkg.crossplane.io/"):
        yield from _unpinned_image(package, (*route, "spec", "package"))
    yield from _unpinned_replacements(data, route)


def _unpinned_replacements(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """Fields that kustomize copies from elsewhere (its `replacements`)."""
    for target in list_of(data.get("targets")):
        for field in list_of(mapping_of(target).get("fieldPaths")):
            if _IMAGE_KEY.fullmatch(_plain(str(field).rpartition(".")[2])):
                yield f"'{field}' is put there by a replacement", (*route, "targets")


def _plain(key: str) -> str:
    return re.sub(r"[-_.]", "", key).lower()


def _is_image(route: Route) -> bool:
    """Whether a mapping stands where an image does, which is looked at already."""
    return bool(route) and ("images" in route[-2:] or _plain(str(route[-1])).endswith("image"))


def _unpinned_text(key: str, said: str, data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """A text whose key says that it is an image, or a part of one."""
    found = _IMAGE_KEY.fullmatch(_plain(key))
    if found is None or _NO_IMAGE.fullmatch(said.strip()):
        return
    if _plain(key) == "image":  # parsers in Go take any spelling
        yield from _unpinned_image(said, route)
    elif not _is_split(found["prefix"], data):
        if found["version"] and said and not _DIGEST.fullmatch(said):
            yield f"expected a digest in '{key}', found '{said}'", route
        elif not found["version"] and _looks_like_one(said, bare=bool(found["name"])):
            yield from _unpinned_image(said, route)


def _is_split(prefix: str, data: Mapping[str, Any]) -> bool:
    """Whether the parts of an image say its digest together."""
    versions = {f"{prefix}image{end}" for end in ("tag", "version", "digest", "sha", "sha256")}
    said = [text_of(value) or "" for key, value in data.items() if _plain(key) in versions]
    return any(_DIGEST.fullmatch(one) for one in said)


def _looks_like_one(said: str, *, bare: bool) -> bool:
    """Whether a text can be an image.

    Arguments:
        bare: whether its key leaves no doubt, so that a word is one.
    """
    if not _REFERENCE.fullmatch(said) or _PICTURE.search(said):
        return False
    return bare or "/" in said or ":" in said


def _unpinned_options(key: str, words: Sequence[Any], route: Route) -> Iterator[tuple[str, Route]]:
    """Images that a command line names, and lists where one image is expected."""
    after = False
    for index, word in enumerate(words):
        said = scalar_of(word) or ""
        option = _OPTION.fullmatch(said)
        if option and option[1]:
            yield from _unpinned_image(option[1], (*route, index))
        elif (after or _plain(key) == "image") and _looks_like_one(said, bare=False):
            yield from _unpinned_image(said, (*route, index))
        after = bool(option and said.startswith("-"))


def _unpinned_patch(data: Mapping[str, Any], value: str | None, route: Route) -> Iterator[tuple[str, Route]]:
    """An operation of a JSON patch (RFC 6902)."""
    key = str(data.get("path", "")).rpartition("/")[2]
    if _IMAGE_KEY.fullmatch(_plain(key)) is None:
        return
    if "from" in data:
        yield f"'{key}' is copied from '{data['from']}'", route
    elif value is not None:
        yield from _unpinned_text(key, value, {}, route)


def _unpinned_parameter(name: str, value: str, route: Route) -> Iterator[tuple[str, Route]]:
    """A parameter of Helm (Argo CD's `helm.parameters`), or a variable of a container, that says an image."""
    found = _IMAGE_KEY.fullmatch(_plain(name)) or re.match("relatedimage", _plain(name))
    if found is None or _DIGEST.fullmatch(value):
        return
    if "." in name or name == "image" or _plain(name).startswith("relatedimage"):
        if not _plain(name).endswith(("repository", "repo", "name")):
            yield f"expected a digest in '{name}', found '{value}'", route
    elif _looks_like_one(value, bare=False):
        yield from _unpinned_image(value, route)


def _unpinned_entries(data: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """The entries `images` of kustomizations, Helm values and Argo CD Applications."""
    images = data.get("images")
    entries = images.items() if isinstance(images, Mapping) else enumerate(list_of(images))
    for index, one in entries:
        here = (*route, "images", index)
        if isinstance(one, Mapping) and (not route or _IMAGE_PARTS & one.keys()):
            yield from _unpinned_mapping(one, here)
        elif isinstance(one, str) and re.search("[:@=]", one):
            yield from _unpinned_image(one.rpartition("=")[2], here)


def _unpinned_image(said: str, route: Route) -> Iterator[tuple[str, Route]]:
    if not _PINNED.fullmatch(said):
        yield f"expected an image pinned by digest (name@sha256:…), found '{said}'", route


def _unpinned_mapping(value: Mapping[str, Any], route: Route) -> Iterator[tuple[str, Route]]:
    """An image in parts: of Helm values, of a kustomization, or of a volume (``reference``)."""
    if "reference" in value:
        yield from _unpinned_image(text_of(value["reference"]) or "", (*route, "reference"))
        return
    name = _name_of(value) or ("image" if scalar_of(value.get("tag")) else "")
    if not name:
        return
    parts = [scalar_of(value.get(key)) or "" for key in _DIGEST_KEYS]
    digest = parts[0] or (f"sha256:{parts[1].removeprefix('sha256:')}" if parts[1] else "")
    if digest and _DIGEST.fullmatch(digest):
        return
    if not digest and any("@" in tag and _DIGEST.fullmatch(tag) for tag in parts[2:]):
        return
    found = digest or parts[2] or parts[3] or "none"
    yield f"expected '{name}' with a digest, found '{found}'", route


def _pinned(marked: Marked, route: Route) -> Iterator[Problem]:
    said = text_of(marked.at(route))
    for message, _ in _unpinned_image(said, route) if said is not None else ():
        yield Problem(message, marked.place(route), _PIN_IT)
