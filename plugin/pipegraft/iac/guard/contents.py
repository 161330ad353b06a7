"""What a file may hold: images that are pinned, and nothing that looks like a secret."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipegraft.core.errors import ConfigError, Place, Problem
from pipegraft.core.yaml_positions import Marked, Route, load_marked, load_marked_all

__all__ = [
    "pinned_in_manifests",
    "pinned_in_spec",
    "searchable",
    "secret_manifests",
    "secret_variables",
    "secrets_in",
]

_DIGEST = re.compile(r".+@sha256:[0-9a-f]{64}")
_PIN_IT = "pin it: a tag can name another image tomorrow"


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
    """Images of manifests, Helm values and kustomizations that are not pinned.

    An image is a text at a key ``image``, a mapping there with ``digest`` or without, or an entry of a
    kustomization's ``images``.
    """
    try:
        documents = load_marked_all(text, path)
    except ConfigError as error:
        yield from error.problems
        return
    for marked in documents:
        for route in marked.values:
            value = _at(marked.data, route)
            if route[-1:] == ("image",) and isinstance(value, str):
                yield from _pinned(marked, route)
            elif isinstance(value, dict) and _names_image(route, value) and not value.get("digest"):
                name = value.get("newName") or value.get("name") or value.get("repository")
                yield Problem(
                    f"expected '{name}' with a digest, found {value.get('newTag') or value.get('tag')!r}",
                    marked.place(route),
                    _PIN_IT,
                )


def _names_image(route: Route, value: dict[str, Any]) -> bool:
    helm = route[-1:] == ("image",) and "repository" in value
    return helm or (len(route) == 2 and route[0] == "images" and "name" in value)


def _pinned(marked: Marked, route: Route) -> Iterator[Problem]:
    value = _at(marked.data, route)
    if isinstance(value, str) and not _DIGEST.fullmatch(value):
        yield Problem(
            f"expected an image pinned by digest (name@sha256:…), found '{value}'",
            marked.place(route),
            _PIN_IT,
        )


_FORMS = {
    "a private key": r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----|PuTTY-User-Key-File-\d",
    "a GitLab token": r"\bgl(?:pat|dt|rt|cbt|ptt|ft|soat|agent)-[\w-]{20,}",
    "a GitHub token": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_\w{60,})",
    "an AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a Google API key": r"\bAIza[\w-]{35}\b",
    "a Slack token": r"\bxox[abeoprs]-[\w-]{10,}",
    "an npm token": r"\bnpm_[A-Za-z0-9]{36}\b",
    "a Docker Hub token": r"\bdckr_(?:pat|oat)_[\w-]{20,}",
    "a Vault token": r"\bhv[sb]\.[\w-]{24,}",
    "a Stripe key": r"\b[sr]k_live_[A-Za-z0-9]{16,}",
    "a signed web token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}",
    "a password in a URL": r"://[^\s/:@\"'{$]+:(?!\$|\{)[^\s/@\"'{$]{3,}@",
}
_SECRETS = {what: re.compile(pattern) for what, pattern in _FORMS.items()}
_NAMED = re.compile(r"(?i)(?:.*_)?(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|API_?KEY|PRIVATE_KEY)")
_ELSEWHERE = re.compile(
    r"\s*|\d+|true|false|.*(?:\$[({]|\{\{|<path:|ref\+|ENC\[).*", re.IGNORECASE | re.DOTALL
)
"""Values that are no secrets: none, numbers, and what tools fill in or decrypt later."""
_MEANT = "pipegraft:not-secret"
_SECRET_KIND = re.compile(r"^kind:\s*[\"']?Secret\b", re.MULTILINE)
_REVOKE_IT = "keep it in the secret store, refer to it by name, and revoke this one"


def searchable(content: bytes) -> str:
    """Text to search, whatever the encoding: in UTF-16 and UTF-32, ASCII has zero bytes between."""
    return content.replace(b"\0", b"").decode("utf-8", "replace")


def secrets_in(text: str, known: str, place: str) -> Iterator[Problem]:
    """Lines that look like a secret, but those that were there before.

    Arguments:
        text: what to search.
        known: the text as it was.
        place: file or other name for messages.
    """
    before = set(known.splitlines())
    for number, line in enumerate(text.splitlines(), start=1):
        if _MEANT in line or line in before:
            continue
        for what, pattern in _SECRETS.items():
            if found := pattern.search(line):
                yield Problem(f"this looks like {what}", Place(place, number, found.start() + 1), _REVOKE_IT)


def secret_variables(path: str, before: str, after: str) -> Iterator[Problem]:
    """Variables of an app spec or environment with the name of a secret and a value of their own."""
    held = _variables(_loaded(path, before))
    marked = _loaded(path, after)
    lines = after.splitlines()
    for route, value in _variables(marked).items():
        place = marked.place(route) if marked else None
        if held.get(route) == value or (place and place.line and _MEANT in lines[place.line - 1]):
            continue
        yield Problem(
            f"'{route[-1]}' looks like a secret by its name, and its value stands here",
            place,
            f"write {{secret: NAME, key: KEY}}; if it is none, put '# {_MEANT}' behind it",
        )


def _variables(marked: Marked | None) -> dict[tuple[str | int, ...], str]:
    found: dict[tuple[str | int, ...], str] = {}
    for route in marked.values if marked else ():
        if len(route) > 1 and route[-2] == "env" and _NAMED.fullmatch(str(route[-1])):
            value = _at(marked.data, route) if marked else None
            if isinstance(value, str) and not _ELSEWHERE.fullmatch(value):
                found[route] = value
    return found


def _at(data: Any, route: tuple[str | int, ...]) -> Any:
    for part in route:
        data = data[part]
    return data


def _loaded(path: str, text: str) -> Marked | None:
    try:
        return load_marked(text, path)
    except ConfigError:
        return None  # told by the check of the spec


def secret_manifests(path: str, text: str) -> Iterator[Problem]:
    """Kubernetes Secrets that hold something, and are not encrypted (SOPS) or filled in later."""
    if not _SECRET_KIND.search(text):
        return
    try:
        documents = load_marked_all(text, path)
    except ConfigError:
        return  # a template
    for document in documents:
        data = document.data
        if not isinstance(data, dict) or data.get("kind") != "Secret" or "sops" in data:
            continue
        for section in ("data", "stringData"):
            held = data.get(section)
            for key, value in held.items() if isinstance(held, dict) else ():
                if not _ELSEWHERE.fullmatch(str(value)):
                    yield Problem(
                        f"a Secret with its value: '{key}'",
                        document.place((section, key)),
                        "keep the value in the secret store, or encrypt the file",
                    )
