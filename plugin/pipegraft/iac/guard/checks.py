"""The checks: spec valid, images pinned, nothing secret, gray steps in order, no way around them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from pipegraft.appspec.environment_file import images_of, read_environment
from pipegraft.appspec.model import PROMOTING, App, AppEnvironment, GrayBlock
from pipegraft.appspec.resource_binding import Platform
from pipegraft.appspec.spec import resolve
from pipegraft.core.delivery_file import parse_document
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.reading import Marked
from pipegraft.iac.guard import GUARD_FILE, GuardRules, matches, read_rules
from pipegraft.iac.guard.contents import (
    Alike,
    pinned_in_manifests,
    pinned_in_spec,
    steering,
    strange_name,
    strange_text,
)
from pipegraft.iac.guard.documents import (
    ChangedFile,
    Files,
    Generators,
    brought_in,
    mapping_of,
    parsed,
    text_of,
)
from pipegraft.iac.guard.secret_forms import BUILT_IN, SecretForm, searchable, secrets_in
from pipegraft.iac.guard.secret_values import generated_secrets, secret_manifests
from pipegraft.iac.released_images import read_state

__all__ = ["check_files", "gray_in_order", "holds_images"]

_Declared = tuple[Mapping[str, str], Mapping[str, str], Iterable[Mapping[str, str]]]
"""Component → digest of its image in an app spec: before, now, and at the commits before, newest first."""


def gray_in_order(
    path: str,
    before: str | None,
    after: str,
    steps: Sequence[int],
    earlier: Iterable[str] = (),
    *,
    declared: _Declared = ({}, {}, ()),
    read: AppEnvironment | None = None,
) -> Iterator[Problem]:
    """What is wrong with the change of an environment's gray release.

    Arguments:
        path: the environment's file.
        before: its text before, None if there was none.
        after: its text now.
        steps: the weights a gray release may take, any rising ones if empty.
        earlier: its texts at the commits before, newest first.
        declared: what the app spec says where the environment has no image.
        read: what `after` says, for who has read it already.
    """
    now = read or _read(after, path)
    if now is None:
        return  # told by the check of the spec
    if now.gray is None and not steps:
        return
    held = (one for text in chain([before or ""], earlier) if (one := _released(text, path)))
    was = next(held, AppEnvironment())
    marked = next(iter(parsed(path, after)), Marked(None))
    if now.gray is not None:
        message, fix = _wrong(was.gray, now.gray, steps)
        if message:
            yield Problem(message, marked.place(("gray", "weight")), fix)
    elif was.gray and steps and _is_early(was.gray, steps) and _promotes(was, was.gray, now, declared):
        yield Problem(
            f"expected the weight {steps[-1]} before the promotion, it was {was.gray.weight}",
            marked.place(("release",)),
            f"follow the steps {', '.join(map(str, steps))}, or take it back",
        )
        return
    if steps and (around := _around(was, held, now, steps[-1], declared)):
        yield Problem(
            f"expected the image of '{around}' to change by a gray release, it is replaced at once",
            marked.place(("components", around)),
            f"begin with a gray block of weight 0 and follow the steps {', '.join(map(str, steps))}",
        )


def _read(text: str, path: str) -> AppEnvironment | None:
    """An environment; None for other files that have its name."""
    try:
        return read_environment(text, path)
    except ConfigError:
        return None


def _released(text: str, path: str) -> AppEnvironment | None:
    """As `_read`; None also where nothing was released."""
    found = _read(text, path)
    return found if found and found.release else None


def _digests(environment: AppEnvironment, *, gray: bool = False) -> dict[str, str]:
    """Component → digest of its image, however the image is spelled."""
    return {name: image.rpartition("@")[2] for name, image in images_of(environment, gray=gray).items()}


def _around(
    was: AppEnvironment,
    before: Iterable[AppEnvironment],
    now: AppEnvironment,
    last: int,
    declared: _Declared,
) -> str:
    """A component whose image was replaced without a gray release, where these are used; empty if none was.

    A component's first image replaces none, but one that nothing had, beside a component that goes: it takes
    that one's place. One that served before may come back: so a release is taken back. What an app spec said
    served where the environment never said otherwise.

    Arguments:
        before: what was there before `was`, newest first.
        last: the weight from which a gray release may be promoted.
    """
    own = _digests(was)
    promoted = _digests(was, gray=True) if was.gray and was.gray.weight == last else {}
    known = {**declared[0], **own}.items() | promoted.items()
    new = {name: said for name, said in {**declared[1], **_digests(now)}.items() if (name, said) not in known}
    seen, named, gray = {*declared[0], *own}, set(own), was.gray is not None
    gone, images = seen - {*declared[1], *_digests(now)}, {said for _, said in known}
    for one in before if new else ():
        gray = gray or one.gray is not None
        served = _digests(one)
        named |= served.keys()
        new = {name: said for name, said in new.items() if said != served.get(name)}
    for spec in declared[2] if new and gray else ():
        seen |= spec.keys()
        new = {name: said for name, said in new.items() if name in named or said != spec.get(name)}
    around = (name for name, said in new.items() if name in seen | named or (gone and said not in images))
    return next(around, "") if gray else ""


def _promotes(was: AppEnvironment, gray: GrayBlock, now: AppEnvironment, declared: _Declared) -> bool:
    """Whether what was gray serves all requests now."""
    stable, new = ({**declared[0], **_digests(was, gray=gray)} for gray in (False, True))
    held = {**declared[1], **_digests(now)}
    taken = any(held.get(name) == image != stable.get(name) for name, image in new.items())
    return taken or (now.release is not None and now.release == gray.release)


def _is_early(gray: GrayBlock, steps: Sequence[int]) -> bool:
    """Whether a gray release has not taken its last step."""
    return gray.phase != PROMOTING and gray.weight != steps[-1]


def _is_changed(was: GrayBlock, now: GrayBlock) -> bool:
    """Whether the new version is another one; while it is promoted, less of it may be told."""
    less = now.phase == PROMOTING and now.components.items() <= was.components.items()
    return now.release != was.release or not (less or now.components == was.components)


def _wrong_weight(was: GrayBlock, now: GrayBlock, steps: Sequence[int]) -> tuple[str, str]:
    """What is wrong with the weight of a new version that stays; nothing if both are empty."""
    follow = f"follow the steps {', '.join(map(str, steps))}"
    if now.phase == PROMOTING and steps and _is_early(was, steps):
        return f"expected the weight {steps[-1]} before the promotion, it was {was.weight}", follow
    if now.weight < was.weight:
        rises = f"the weight of a gray release rises, found {now.weight} after {was.weight}"
        return rises, "roll it back instead"
    allowed = 100 if now.phase == PROMOTING else next((step for step in steps if step > was.weight), None)
    if steps and now.weight not in (was.weight, allowed):
        return f"expected the weight {allowed} after {was.weight}, found {now.weight}", follow
    return "", ""


def _wrong(was: GrayBlock | None, now: GrayBlock, steps: Sequence[int]) -> tuple[str, str]:
    """What is wrong with a gray block and what to do; nothing if both are empty."""
    promoting = now.phase == PROMOTING
    if was is None or now.release.number > was.release.number:
        if now.weight or promoting:
            found = f"{now.weight}, {PROMOTING}" if promoting else now.weight
            return f"a gray release starts at weight 0, found {found}", "let iac-bump prepare it"
    elif now.release.number < was.release.number:
        stands = f"a gray release of {was.release.number} stands there, {now.release.number} is older"
        return stands, "run the newest pipeline"
    elif _is_changed(was, now):
        if now.weight or promoting:
            return (
                f"the new version of gray release {was.release.number} was changed in its midst",
                "begin again at weight 0: what was judged was another version",
            )
    else:
        return _wrong_weight(was, now, steps)
    return "", ""


_ENVIRONMENT = re.compile(r"(?P<folder>(?:.+/)?)environments/(?P<name>[^/]+)\.yaml", re.DOTALL)
_APP = re.compile(r"(?P<folder>(?:.+/)?)app\.yaml", re.DOTALL)
_OVERRIDE = re.compile(r"(?:.+/)?\.argocd-source[^/]*\.yaml", re.DOTALL)
"""Parameters and images above those of an Application (its "Parameter Overrides")."""
_STATE = re.compile(r"(?:.+/)?\.pipegraft/[^/]+\.yaml", re.DOTALL)


def holds_images(path: str, rules: GuardRules) -> bool:
    """Whether a file says what runs: an app spec, an environment, or a manifest."""
    return bool(_ENVIRONMENT.fullmatch(path) or _APP.fullmatch(path)) or _is_manifest(path, rules)


def _is_manifest(path: str, rules: GuardRules) -> bool:
    """Whether `pinned-files` names it, or Argo CD takes images from it wherever it lies."""
    return matches(path, rules.pinned_files) or bool(_OVERRIDE.fullmatch(path))


_FOREIGN = re.compile(r"^apiVersion:", re.MULTILINE)
_LARGEST = 16_000_000
"""Bytes; an IaC repository holds text, and what nobody can read hides things."""
_LINKS = {"120000": "a symbolic link", "160000": "a submodule"}


def check_files(
    changed: Sequence[ChangedFile],
    before: Files | None,
    after: Files,
    rules: GuardRules,
    platform: Platform,
    *,
    forms: Sequence[SecretForm] = BUILT_IN,
) -> list[Problem]:
    """Everything wrong with a change.

    Arguments:
        changed: files that changed.
        before: all files as they were; None if that is not known, so that no order can be checked.
        after: all files as they are to be.
        rules: of the repository, as they were before.
        platform: what resources are provided by.
        forms: of secrets that are looked for.
    """
    problems: list[Problem] = []
    touched = {one.path for one in changed}
    alike, generators = Alike(after.names), Generators(after.text)
    for one in changed:
        if one.mode.strip("0"):
            problems += strange_name(one.path, alike.beside(one.path))
            problems += steering(one.path, rules.pipelines)
        if one.mode in _LINKS:
            problems += [] if rules.links else [_link(one)]
            continue
        if app := _APP.fullmatch(one.path):
            problems += _environments(app["folder"], touched, before, after, rules=rules, platform=platform)
        content = after.content(one.path)
        if content is None:
            continue
        if len(content) > _LARGEST:
            told = f"expected at most {_LARGEST // 1_000_000} MB, found {len(content) / 1e6:.0f}"
            problems.append(Problem(told, Place(one.path), "keep it in a registry or an object store"))
            continue
        old = (before.content(one.path) if before else None) or b""
        if rules.secrets:
            problems += secrets_in(searchable(content), searchable(old), one.path, forms)
            problems += generated_secrets(one.path, generators)
        if not matches(one.path, rules.binaries):
            problems += strange_text(one.path, content)
        problems += _check_text(one.path, before, after, rules, platform)
    return problems


def _link(one: ChangedFile) -> Problem:
    return Problem(
        f"{_LINKS[one.mode]}: what it leads to is not checked",
        Place(one.path),
        f"put the files themselves there, or set 'links: true' in {GUARD_FILE}",
    )


def _check_text(
    path: str, before: Files | None, after: Files, rules: GuardRules, platform: Platform
) -> Iterator[Problem]:
    text = after.text(path)
    ours = bool(_ENVIRONMENT.fullmatch(path) or _APP.fullmatch(path))
    declared = ours or path == GUARD_FILE or bool(_STATE.fullmatch(path))
    if text is None:
        if declared and matches(path, rules.binaries):
            yield Problem("expected text in UTF-8", Place(path), "save it as UTF-8")
        return
    if rules.secrets:
        yield from secret_manifests(path, text, (before.text(path) if before else None) or "")
    pinned = _is_manifest(path, rules)
    if pinned:
        yield from pinned_in_manifests(path, text)
    if pinned or rules.sources:
        yield from brought_in(path, text, rules.sources)
    if path == GUARD_FILE:
        yield from _parsed(lambda: read_rules(text))
    elif ours and not _is_foreign(text, path):
        yield from pinned_in_spec(path, text) if rules.pinned else ()
        yield from _spec(path, before, after, rules, platform)
    elif declared and not ours:
        yield from _parsed(lambda: read_state(text, path))


def _is_foreign(text: str, path: str) -> bool:
    """Whether it is a Kubernetes manifest, or a template of one, that has the name of one of our files."""
    if not _FOREIGN.search(text):
        return False
    try:
        documents = parsed(path, text)
    except ConfigError:
        return True  # a template: nobody can read it as an app spec either
    return any(isinstance(one.data, dict) and "apiVersion" in one.data for one in documents)


def _environments(
    folder: str,
    touched: set[str],
    before: Files | None,
    after: Files,
    *,
    rules: GuardRules,
    platform: Platform,
) -> Iterator[Problem]:
    """Whether the environments that a change of their app spec leaves alone still fit to it."""
    app = f"{folder}app.yaml"
    paths = [f"{folder}environments/{name}" for name in after.names(f"{folder}environments/")]
    others = [path for path in paths if path not in touched and _ENVIRONMENT.fullmatch(path)]
    if after.content(app) is None:
        was = before.text(app) if before else None
        if others and was is not None and not _is_foreign(was, app):
            yield Problem(
                f"its environments stay without it: {', '.join(others)}", Place(app), "delete them too"
            )
        return
    if _is_foreign(after.text(app) or "", app):
        return
    for path in others:
        if not _is_foreign(after.text(path) or "", path):
            yield from _spec(path, before, after, rules, platform)


def _gray(
    path: str, app: str, before: Files, after: Files, *, rules: GuardRules, now: AppEnvironment
) -> Iterator[Problem]:
    """As `gray_in_order`, of an environment and what its app spec declares for it."""
    earlier = (_declared(text, app) for text in before.texts(app))
    declared = (_declared(before.text(app), app), _declared(after.text(app), app), earlier)
    text, held = after.text(path) or "", before.texts(path)
    yield from gray_in_order(
        path, before.text(path), text, rules.gray_steps, held, declared=declared, read=now
    )


def _declared(text: str | None, path: str) -> Mapping[str, str]:
    """Component → digest of its image in an app spec."""
    try:
        spec = mapping_of(next((one.data for one in parsed(path, text or "")), None))
    except ConfigError:
        return {}  # told by the check of the spec
    images = {
        name: text_of(mapping_of(one).get("image"))
        for name, one in mapping_of(spec.get("components")).items()
    }
    return {name: image.rpartition("@")[2] for name, image in images.items() if image}


def _spec(
    path: str, before: Files | None, after: Files, rules: GuardRules, platform: Platform
) -> Iterator[Problem]:
    """Whether an app spec is one; whether an environment fits to it, its gray release included."""
    text = after.text(path) or ""
    environment = _ENVIRONMENT.fullmatch(path)
    if environment is None:
        yield from _parsed(lambda: parse_document(text, path, App))
        return
    app, name = f"{environment['folder']}app.yaml", environment["name"]
    app_text, now = after.text(app), _read(text, path)
    if now and before:
        yield from _gray(path, app, before, after, rules=rules, now=now)
    if app_text is None:  # it is the folder of a tool that is not ours
        return
    if now is None:
        yield from _parsed(lambda: read_environment(text, path))
    elif now.release:  # before the first release there are no images to resolve
        whole = {"app_file": app, "environment_file": path}
        yield from _parsed(lambda: resolve(app_text, text, name, **whole, platform=platform))


def _parsed(read: Callable[[], object]) -> Iterator[Problem]:
    try:
        read()
    except UsageError as error:
        yield from error.problems
