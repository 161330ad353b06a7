"""What a bump comes to on the files as they are: in the app spec, or in all targets of an environment."""

from __future__ import annotations

import difflib
import posixpath
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pipegraft.appspec.environment_file import (
    Bump,
    ConfigPath,
    Outcome,
    Step,
    app_path,
    bump,
    check_app,
    environment_path,
    read_environment,
)
from pipegraft.core.delivery import Delivery, Target
from pipegraft.core.errors import ConfigError, Conflict, EditRefused, Place, Problem, UsageError
from pipegraft.core.release import ReleaseMark
from pipegraft.iac.config import changes_what_runs, refuse_delivery, refuse_number, refuse_standing
from pipegraft.iac.ports import Files, Renderer
from pipegraft.iac.released_images import EnvironmentState, PinnedImage, read_state, state_path, write_state
from pipegraft.iac.targets.charts import merged
from pipegraft.iac.targets.check import WrittenTarget, check_effect
from pipegraft.iac.targets.compare import Effect, Expected
from pipegraft.iac.targets.units import Unit, find_unit
from pipegraft.iac.targets.writing import Around, Written, write_target
from pipegraft.images.reference import ImageReference
from pipegraft.text.yaml import format_path
from pipegraft.text.yaml.values import Value

__all__ = ["BumpRequest", "PlannedBump", "plan_bump", "refuse_conflict", "try_release"]


def write_release(
    read: Files,
    delivery: Delivery,
    environment: str,
    images: Mapping[str, PinnedImage],
    renderers: Mapping[str, Renderer],
) -> tuple[dict[str, str], dict[str, str], list[Effect]]:
    """Write a release into the targets of an environment, and make sure of its effect.

    Arguments:
        read: the files of the IaC repository.
        images: component → image, of the whole release.
        renderers: ``helm`` and ``kustomize``, those that are there.

    Returns:
        Path → text before, path → text afterwards, and what is known of the effect.

    Raises:
        UsageError: a file is not there.
        EditRefused: an image cannot be written exactly, is written nowhere, or without the right effect.
    """
    declared = delivery.environments[environment]
    root = (delivery.iac.path or "").strip("/")
    before: dict[str, str] = {}
    files: dict[str, str] = {}
    written: list[WrittenTarget] = []
    chosen = {name: image for name, image in images.items() if name not in declared.idle}
    for target in declared.targets:
        path = posixpath.join(root, target.file)
        text = files.get(path, read(path))
        if text is None:
            raise UsageError(
                f"expected {path} in the IaC repository, it is not there",
                fix=f"correct 'environments.{environment}.targets' in delivery.yaml",
            )
        before.setdefault(path, text)
        unit = find_unit(read, target, path, root)
        made = write_target(text, target, chosen, path, _around(read, target, path, unit))
        files[path] = made.text
        inside = unit.chart_with(path)[1] if unit.chart else ()
        values = tuple((*inside, *one) for one in made.values)
        written.append(WrittenTarget(target, path, unit, tuple(_expected(made, chosen)), values))
    _refuse_overwritten(read, written, files, chosen)
    _refuse_unwritten(written, chosen, environment)
    effects = check_effect(read, files, written, renderers, delivery=delivery, environment=environment)
    return before, files, effects


def _refuse_overwritten(
    read: Files, written: Sequence[WrittenTarget], files: Mapping[str, str], images: Mapping[str, PinnedImage]
) -> None:
    """Make sure that no target wrote over what another one had written in the same file."""
    paths = [one.path for one in written]
    for one in written:
        target, path = one.target, one.path
        if paths.count(path) > 1:
            again = write_target(files[path], target, images, path, _around(read, target, path, one.unit))
            if again.text != files[path]:
                said = f"of '{target.component}' " if target.component else ""
                raise EditRefused(
                    f"what a target of kind '{target.kind}' writes {said}here, another one writes over",
                    place=Place(path),
                    fix="name each place in one target alone, with the component that runs there",
                )


_NOBODYS = f"sha256:{'0' * 64}"


def try_release(
    read: Files, delivery: Delivery, environment: str, renderers: Mapping[str, Renderer]
) -> list[Effect]:
    """Write a release of the declared components into `targets` as a bump would, with digests of no image.

    Returns:
        What is known of the effect; nothing is committed.

    Raises:
        UsageError: files are not there, or a bump would be refused.
    """
    folder = (delivery.iac.path or "").strip("/")
    paths = [posixpath.join(folder, one.file) for one in delivery.environments[environment].targets]
    missing = [path for path in dict.fromkeys(paths) if read(path) is None]
    if missing:
        mend = "correct 'file' of the target, or 'iac.path', in delivery.yaml"
        raise ConfigError(Problem(f"the branch has no {path}", Place(path), mend) for path in missing)
    named = {name: delivery.image_repository(name) for name in delivery.components}
    references = {name: ImageReference(delivery.registry, one, _NOBODYS) for name, one in named.items()}
    images = {name: PinnedImage.parse(str(one), "pipegraft-doctor") for name, one in references.items()}
    *_, effects = write_release(read, delivery, environment, images, renderers)
    return effects


def _expected(made: Written, images: Mapping[str, PinnedImage]) -> Iterator[Expected]:
    for component, pins in made.pins.items():
        yield Expected(component, images[component], pins)


def _around(read: Files, target: Target, path: str, unit: Unit) -> Around:
    """What the target's file belongs to, for finding the form and the names that count there."""
    if unit.chart is not None:
        part, inside = unit.chart_with(path)
        return Around(part.defaults() if inside else _defaults(read, unit, path), part.keys_read)
    if unit.kustomization is not None and target.kind == "kustomize":
        built = unit.kustomization
        decided = not built.absent and not built.unknown
        return Around(below=built.below if decided or built.below else None)
    return Around()


def _defaults(read: Files, unit: Unit, path: str) -> Any:
    """The values that the chart has without this file: its own, and those of the files read before it."""
    assert unit.chart is not None  # noqa: S101 - the caller looked
    values = unit.chart.defaults()
    for other in unit.values:
        said = unit.inherited(read) if other == path else unit.values_of(read, other)
        values = values if said is None else merged(values, said)
    return values


def _refuse_unwritten(
    written: list[WrittenTarget], images: Mapping[str, PinnedImage], environment: str
) -> None:
    """Make sure that every image of the release was written, and pinned."""
    pins: dict[str, set[str]] = {}
    for target in written:
        for one in target.expected:
            pins.setdefault(one.component, set()).update(one.pins)
    missing = [name for name in images if not pins.get(name)]
    if missing:
        named = ", ".join(f"'{name}'" for name in missing)
        what = "only the repository of" if missing[0] in pins else "no target holds the image of"
        raise EditRefused(
            f"{what} {named}{' is written' if missing[0] in pins else ''}, and the release has it",
            place=Place("delivery.yaml"),
            fix=f"add a target for it to 'environments.{environment}.targets', or name it in "
            f"'environments.{environment}.idle' if it does not run there",
        )


@dataclass(frozen=True, slots=True)
class BumpRequest:
    """What is to be written where.

    Arguments:
        delivery: the delivery as declared.
        environment: name of the environment.
        mark: which release it is.
        images: component → image.
        config: values of the components that are released too, or alone if there are no images.
        renderers: ``helm`` and ``kustomize``, those that are there.
    """

    delivery: Delivery
    environment: str
    mark: ReleaseMark
    images: Mapping[str, PinnedImage]
    config: Mapping[ConfigPath, Value] = field(default_factory=dict)
    renderers: Mapping[str, Renderer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PlannedBump:
    """What a bump comes to.

    Arguments:
        outcome: as for `Bump`.
        path: the file that says which release is there.
        step: as for `Bump`.
        files: path → new text.
        before: path → text before, for the same paths.
        changes: place → value before and value after, of what a person could have changed too.
        held: the newest release that stood there.
        taken_back: whether `held` is one that was rolled back by hand.
        effects: what is known of what `targets` render to.
    """

    outcome: Outcome
    path: str
    step: Step = "bump"
    files: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, str] = field(default_factory=dict)
    changes: Mapping[str, tuple[Value, Value]] = field(default_factory=dict)
    held: ReleaseMark | None = None
    taken_back: bool = False
    effects: Sequence[Effect] = ()


def plan_bump(read: Files, request: BumpRequest) -> PlannedBump:
    """Plan a bump on the files as they are.

    Arguments:
        read: the files of the IaC repository.
        request: what is to be written.

    Raises:
        UsageError: a file that must exist does not, or is another application's.
        ConfigError: a file is not what it should be.
        EditRefused: an edit cannot be made exactly, or has not the effect that it should have.
    """
    folder = request.delivery.iac.path
    if request.config:
        declared = request.delivery.environments[request.environment]
        observed = declared.gray.router if declared.gray and declared.gray.rollout else None
        refuse_delivery(request.environment, targets=bool(declared.targets), observed=observed)
    state_file = state_path(folder, request.environment)
    state = read_state(read(state_file), state_file)
    if state.taken_back and state.taken_back.number >= request.mark.number:
        if not request.images:
            refuse_number(state.taken_back, request.mark.number, request.environment)
        path = environment_path(folder, request.environment)
        return PlannedBump("superseded", path, held=state.taken_back, taken_back=True)
    if request.delivery.environments[request.environment].targets:
        return _plan_targets(read, request, state, state_file)
    return _plan_spec(read, request)


def refuse_conflict(first: PlannedBump, now: PlannedBump) -> None:
    """Make sure that nobody changed by hand, between two looks, what this bump changes.

    A value that changed together with the release was changed by another pipeline, and release numbers
    decide; one that changed alone was changed by a person.

    Raises:
        Conflict: with the place and all three values.
    """
    if now.outcome != "written" or first.held != now.held:
        return
    for place, (found, wanted) in now.changes.items():
        seen = first.changes.get(place, (wanted, wanted))[0]
        if found != seen:
            raise Conflict(
                f"{place}: somebody changed this meanwhile: it was {_told(seen)}, "
                f"is {_told(found)}, and this release wants {wanted}",
                fix="agree with whoever changed it, then run this again",
            )


def _told(value: Value) -> Value:
    return "absent" if value is None else value


def _plan_spec(read: Files, request: BumpRequest) -> PlannedBump:
    app_file = app_path(request.delivery.iac.path)
    app = check_app(read(app_file), request.delivery.app, app_file)
    path = environment_path(request.delivery.iac.path, request.environment)
    text = read(path)
    references = {name: image.reference() for name, image in request.images.items()}
    gray = request.delivery.environments[request.environment].gray
    stepwise = gray is not None and gray.rollout is None  # else the controller takes it step by step itself
    fresh = gray is not None and gray.baseline == "fresh"
    made = bump(
        text, references, request.mark, gray=stepwise, file=path, config=request.config, baseline=fresh
    )
    if request.config:
        made = _check_config(made, app, text or "", request, path)
    changes: dict[str, tuple[Value, Value]] = {
        f"{path}: image of '{name}'": (before, references[name]) for name, before in made.images.items()
    }
    changes |= {
        f"{path}: {format_path(at)}": (before, request.config[at]) for at, before in made.config.items()
    }
    return PlannedBump(
        made.outcome, path, made.step, {path: made.text}, {path: text or ""}, changes, made.held
    )


def _check_config(made: Bump, app: str, text: str, request: BumpRequest, path: str) -> Bump:
    """The same if it may be written; unchanged if no pod would be another one."""
    if not request.images:
        held = read_environment(text, path)
        refuse_standing(made, held, request.mark.number, request.environment)
    if made.outcome != "written":
        return made
    app_file = app_path(request.delivery.iac.path)
    if changes_what_runs(app, made.text, environment=request.environment, app_file=app_file, file=path):
        return made
    return replace(made, outcome="unchanged", text=text)


def _plan_targets(read: Files, request: BumpRequest, state: EnvironmentState, state_file: str) -> PlannedBump:
    held = state.release
    if held and held.number > request.mark.number:
        return PlannedBump("superseded", state_file, held=held)
    before, files, effects = write_release(
        read, request.delivery, request.environment, request.images, request.renderers
    )
    if files == before:
        return PlannedBump("unchanged", state_file, held=held, effects=effects)
    changes = {
        f"{path}: {new}": (old, new)
        for path in files
        for old, new in _changed_lines(before[path], files[path])
    }
    idle = request.delivery.environments[request.environment].idle
    references = {
        name: image.reference("both" if image.tag else "digest")
        for name, image in request.images.items()
        if name not in idle
    }
    remembered = read(state_file)
    files[state_file] = write_state(
        remembered, EnvironmentState(release=request.mark, images=references), state_file
    )
    before[state_file] = remembered or ""
    return PlannedBump("written", state_file, "bump", files, before, changes, held, effects=effects)


def _changed_lines(before: str, after: str) -> Iterator[tuple[str | None, str]]:
    """Each new line with the one it replaces, None for one that was added."""
    old, new = before.splitlines(), after.splitlines()
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, old, new, autojunk=False).get_opcodes():
        if kind in {"replace", "insert"}:
            for offset in range(j2 - j1):
                replaced = old[i1 + offset].strip() if i1 + offset < i2 else None
                yield replaced, new[j1 + offset].strip()
