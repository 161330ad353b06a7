"""Proves what an edit changes in what is rendered, or says why that cannot be told."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import Any, Literal

from pipegraft.core.delivery import Delivery, Target
from pipegraft.core.errors import EditRefused, Place
from pipegraft.iac.ports import Edited, Files, Renderer
from pipegraft.iac.targets.charts import Chart, Reads, merged
from pipegraft.iac.targets.compare import (
    Effect,
    Expected,
    MoreThanImages,
    confirm,
    refuse_written_by_hand,
    runs,
    still_named,
)
from pipegraft.iac.targets.kustomization import FILE_NAMES, apply_images
from pipegraft.iac.targets.units import EngineObjects, Unit, find_unit, unit_again
from pipegraft.iac.targets.writing import refuse_old_digest
from pipegraft.text.yaml import Path, aliases_of, format_path, has_path, read_documents, value_at

__all__ = ["WrittenTarget", "check_effect", "check_renders"]

Policy = Literal["require", "warn"] | None


@dataclass(frozen=True, slots=True)
class WrittenTarget:
    """One target as it was written.

    Arguments:
        target: as declared.
        path: its file in the repository.
        unit: what renders it, as it was before.
        expected: the images that it brings.
        values: paths of values written, for a chart.
    """

    target: Target
    path: str
    unit: Unit
    expected: tuple[Expected, ...]
    values: tuple[Path, ...] = ()


def check_effect(
    files: Files,
    changed: Mapping[str, str],
    written: Sequence[WrittenTarget],
    renderers: Mapping[str, Renderer],
    *,
    delivery: Delivery,
    environment: str,
) -> list[Effect]:
    """Make sure that what was written is what is rendered, for each chart, kustomization and manifest.

    Arguments:
        files: the repository as it is.
        changed: path → new text.
        written: the targets.
        renderers: ``helm`` and ``kustomize``, those that are there.
        delivery, environment: say where the application lies, by which engine it is deployed, and what to
            do where nothing can be proven.

    Raises:
        EditRefused: the edit has no effect or another one; or it is not proven, and must be.
    """
    declared, root = delivery.environments[environment], (delivery.iac.path or "").strip("/")
    policy, engine = declared.effect, declared.gate.engine
    units: dict[Any, list[WrittenTarget]] = {}
    for one in written:
        units.setdefault(one.unit.key, []).append(one)
    after = Edited(files, changed)
    objects = cache(lambda: EngineObjects(after, delivery.iac.repository, declared.gate.options))
    found: list[Effect] = []
    for group in units.values():
        checked = _Check(files, after, group, renderers, root)
        effect = checked.run(policy)
        for one in group if not effect.proven else ():
            refuse_old_digest(
                after(one.path) or "", one.target, one.path, {e.image.digest for e in one.expected}
            )
        if not effect.proven and policy == "require":
            raise EditRefused(
                f"it is not proven that what was written is rendered: {effect.how}",
                place=Place(effect.unit),
                fix="install the tool, name 'source' or 'values' of the target, or say 'effect: warn'",
            )
        alone = effect.proven and checked.unit.inside is None
        if alone and policy == "require":
            checked.refuse_objects(objects())
            if not objects().looked_for:
                effect = replace(effect, how=f"{effect.how}; {_NOT_LOOKED_FOR}")
        if alone and engine in _ELSEWHERE and (checked.unit.kind != "plain" or engine == "flux"):
            how, *more = effect.how.split("; ", 1)
            effect = replace(effect, how="; ".join((how + _ELSEWHERE[engine], *more)))
        found.append(effect)
    return found


def check_renders(files: Files, tools: Mapping[str, Renderer], delivery: Delivery, environment: str) -> None:
    """Make sure that what stands in the files of targets can be rendered, whatever it renders to.

    Arguments:
        files, tools, delivery, environment: as for `check_effect`.

    Raises:
        UsageError: something cannot be, and the environment does not only warn; or it is not known what
            renders it.
    """
    declared, root = delivery.environments[environment], (delivery.iac.path or "").strip("/")
    seen: set[Any] = set()
    for target in declared.targets if tools and declared.effect != "warn" else ():
        path = posixpath.join(root, target.file)
        if files(path) is None:
            continue
        unit = find_unit(files, target, path, root)
        if unit.key not in seen:
            seen.add(unit.key)
            _Check(files, files, [WrittenTarget(target, path, unit, ())], tools, root).render()


_NOT_LOOKED_FOR = "objects of the engine elsewhere were not looked for, which takes git and not an API"
_ELSEWHERE = {
    "argocd": ", but for what an Application of Argo CD sets elsewhere",
    "flux": ", but for what an object of Flux sets elsewhere",
}
"""Engine → what can set parameters, images and patches over what it renders."""


@dataclass(frozen=True, slots=True)
class _Check:
    """One unit with all that was written to it."""

    before: Files
    after: Files
    group: Sequence[WrittenTarget]
    renderers: Mapping[str, Renderer]
    root: str
    by_object: bool = False

    @property
    def unit(self) -> Unit:
        return self.group[0].unit

    def expected(self) -> list[Expected]:
        """Each image once, with all that was written of it."""
        merged: dict[str, Expected] = {}
        for target in self.group:
            for one in target.expected:
                held = merged.get(one.component)
                pins = one.pins | held.pins if held else one.pins
                merged[one.component] = Expected(one.component, one.image, pins)
        return [one for one in merged.values() if one.pins]

    def run(self, policy: Policy) -> Effect:
        kind = self.unit.kind
        if kind == "none":
            return self._unproven(self.unit.why)
        if kind == "plain":
            return self._as_manifests()
        absent = self._absent()
        if absent:
            return self._static(absent) if policy != "require" else self._unproven(absent)
        missing = self._missing()
        return self._static(missing) if missing else self._rendered(self.renderers[kind], policy)

    def render(self) -> None:
        """Render it as it is, where that can be done here.

        Raises:
            EditRefused: it cannot be rendered.
        """
        if self.unit.kind in {"helm", "kustomize"} and not self._absent() and not self._missing():
            self._documents(self.after, self.renderers[self.unit.kind])

    def _missing(self) -> str:
        """Which program is not there."""
        if self.unit.kind not in self.renderers:
            return f"{self.unit.kind} is not installed"
        if self.unit.kustomization and self.unit.kustomization.charts and "helm" not in self.renderers:
            return "helm is not installed, which kustomize has render charts"
        return ""

    def refuse_objects(self, objects: EngineObjects) -> None:
        """Make sure that no object of Flux or Argo CD in the repository has it rendered otherwise.

        Raises:
            EditRefused: one does, or it is not known whether it does.
        """
        places = dict.fromkeys((self.unit.folder, one.path) for one in self.group)
        units = {one[0].key: one for at in places for one in objects.rendering(at)}
        for unit, doubt in units.values():
            holder = unit.inside[0] if unit.inside else ""
            group = [replace(one, unit=unit) for one in self.group]
            try:
                effect = replace(self, group=group, by_object=True).run("require")
                said = "" if effect.proven else f"it is not proven what comes of it: {effect.how}"
            except EditRefused as error:
                said = error.problem.message
            if said:
                sure = f"{holder} has {self.unit.name} rendered too"
                unsure = f"it is not proven that {holder} has no other {self.unit.name} rendered: {doubt}"
                raise EditRefused(
                    f"{unsure if doubt else sure}, and with what it says, {said}",
                    place=Place(holder),
                    fix="write the image there; or name the one that deploys here as 'source' of the target",
                )

    def _unit_in(self, files: Files) -> Unit:
        if self.by_object:
            return unit_again(files, self.unit)
        return find_unit(files, self.group[0].target, self.group[0].path, self.root)

    def _documents(self, files: Files, renderer: Renderer) -> Sequence[Any]:
        unit = self._unit_in(files)
        made = list(read_documents(renderer.render(unit.content(files), unit.folder, unit.values)))
        apply_images(made, unit.handed(files).images)
        return made

    def _rendered(self, renderer: Renderer, policy: Policy) -> Effect:
        try:
            after = self._documents(self.after, renderer)
        except EditRefused as error:
            if policy == "warn":
                return self._static(error.problem.message)
            raise
        try:
            before = self._documents(self.before, renderer)
        except EditRefused:  # a chart that wants a tag, before the first release
            return self._confirm(None, after, f"rendered by {renderer.name}, which it could not be before")
        how = f"rendered by {renderer.name}"
        try:
            return self._confirm(before, after, how, again=lambda: self._documents(self.before, renderer))
        except MoreThanImages as error:
            if policy == "warn":
                return self._unproven(error.problem.message)
            raise

    def _confirm(
        self,
        before: Sequence[Any] | None,
        after: Sequence[Any],
        how: str,
        again: Callable[[], Sequence[Any]] | None = None,
    ) -> Effect:
        if self._hands_on(before, after):
            return self._unproven("no container of it runs the image, and who reads the value is not known")
        used = confirm(before, after, self.expected(), self.unit.name, again)
        if elsewhere := next(still_named(after, self.expected()), ""):
            how = f"{how}; {elsewhere}"
        return Effect(self.unit.name, proven=True, how=how, used=tuple(used))

    def _as_manifests(self) -> Effect:
        path = self.unit.folder
        before, after = (list(read_documents(files(path) or "", path)) for files in (self.before, self.after))
        return self._confirm(before, after, "read as manifests")

    def _hands_on(self, before: Sequence[Any] | None, after: Sequence[Any]) -> bool:
        """Whether a value goes through to what others render: in an object of Flux, a generated ConfigMap."""
        kinds = {one.target.kind for one in self.group}
        own = any(posixpath.basename(one.path) in FILE_NAMES for one in self.group)
        if self.unit.kind == "helm" or not kinds <= {"yaml", "marker", "helm"} or (own and before == after):
            return False
        return not any(runs(after, one) for one in self.expected())

    def _absent(self) -> str:
        chart, built = self.unit.chart, self.unit.kustomization
        if chart is not None:
            over = [f"{one} may set others" for one in chart.files if one.startswith(".argocd-source")]
            return "; ".join((*chart.absent, *self.unit.handed(self.after).unknown, *over))
        return "; ".join(built.absent) if built else ""

    def _unproven(self, why: str) -> Effect:
        return Effect(self.unit.name, proven=False, how=why)

    def _static(self, why: str) -> Effect:
        """What can be told without the tool.

        Raises:
            EditRefused: nothing reads what was written.
        """
        if self.unit.chart is not None:
            return self._by_reading(self.unit.chart, why)
        before, built = self.unit.kustomization, self._unit_in(self.after).kustomization
        if before is None or built is None:
            return self._unproven(why)
        doubts = [*before.unknown, *built.unknown, *built.absent]
        if doubts:
            return self._unproven(f"{why}; {doubts[0]}" if doubts[0] not in why else why)
        return self._confirm(before.documents, built.documents, f"by following its bases and images ({why})")

    def _by_reading(self, chart: Chart, why: str) -> Effect:
        answers = {path: chart.reads(path) for one in self.group for path in one.values}
        unread = [at for at, answer in answers.items() if answer is Reads.NO and not self._is_repeated(at)]
        if unread:
            raise EditRefused(
                f"no template of the chart reads {format_path(unread[0])}, so writing it changes nothing",
                place=Place(self.unit.name),
                fix="name what the chart reads: 'path', or 'keys: {tag: …}' for names of its own",
            )
        self._refuse_hidden()
        self._refuse_pinned_after()
        switched = self._switched_off(answers)
        refuse_written_by_hand(chart, self.expected())
        if switched:
            return self._unproven(f"{why}; {switched}")
        if answers and all(answer is Reads.YES for answer in answers.values()):
            return self._unproven(f"{why}; its templates read {', '.join(map(format_path, answers))}")
        return self._unproven(why)

    def _is_repeated(self, path: Path) -> bool:
        """Whether aliases of a values file bring what stands at a path to other places, which may be read."""
        for one in (one for one in self.group if path in one.values):
            held = one.unit.inside
            inside = held if held and held[0] == one.path else None
            part = one.unit.chart_with(one.path)[1]
            at, number = (*inside[2], *path) if inside else path[len(part) :], inside[1] if inside else 0
            text = self.after(one.path) or ""
            if has_path(text, at, document=number) and aliases_of(text, at, document=number):
                return True
        return False

    def _refuse_pinned_after(self) -> None:
        """Make sure that no image is written over once Helm has rendered it."""
        images = self.unit.handed(self.after).images
        for one in self.expected():
            rendered = {"containers": [{"image": one.reference()}]}
            apply_images([rendered], images)
            if not one.is_rendered_as(rendered["containers"][0]["image"]):
                raise EditRefused(
                    f"'postRenderers' make {one.reference()} {rendered['containers'][0]['image']} again",
                    place=Place(self.group[0].path),
                    fix="take the image out of 'postRenderers', or write it there",
                )

    def _refuse_hidden(self) -> None:
        """Make sure that no values file that is read later says something else."""
        for one in self.group:
            order, parts = one.unit.values, (one.unit.folder, one.unit.chart_with(one.path)[0].folder)
            own = tuple(posixpath.join(folder, "values.yaml") for folder in parts)  # always read, and first
            known = (*order, *own) if one.unit.inherited(self.after) is None else (*order, *own, one.path)
            if order and one.values and one.path not in known:
                raise EditRefused(
                    f"{one.path} is not among the values files that are read: {', '.join(order)}",
                    place=Place(one.path),
                    fix="name it in 'values' of the target, where it comes in their order",
                )
            for path, said in self._counting_over(one, own):
                hidden = next((at for at in one.values if value_at(said, at) is not None), None)
                if hidden is not None:
                    raise EditRefused(
                        f"{path} says {format_path(hidden)} too, which counts over {one.path}",
                        place=Place(path),
                        fix=f"name {path} as the target's file, or take the value out of it",
                    )

    def _counting_over(self, one: WrittenTarget, own: Sequence[str]) -> Iterator[tuple[str, Any]]:
        """What counts over a file: the chart that it is a part of, values files, the patch of an object."""
        order = one.unit.values
        if one.unit.chart is not None and one.unit.chart_with(one.path)[1]:
            yield posixpath.join(one.unit.folder, "values.yaml"), one.unit.chart.values
        later = order[order.index(one.path) + 1 :] if one.path in order else ()
        for path in order if one.path in own and one.path not in order else later:
            yield path, one.unit.values_of(self.after, path)
        if one.unit.inside is not None and one.path not in (*order, *own):
            path, number, root = one.unit.inside
            yield path, value_at(read_documents(self.after(path) or "", path)[number], root)

    def _switched_off(self, written: Iterable[Path]) -> str:
        """What is to be said of a part that its condition takes out of the chart; empty if none is.

        Raises:
            EditRefused: one is, and the values files are known.
        """
        chart = self._unit_in(self.after).chart
        values = chart.defaults() if chart is not None else {}
        for path in self.unit.values:
            values = merged(values, self.unit.values_of(self.after, path) or {})
        off = next(filter(None, (chart.switch_of(at, values) for at in written if chart and at)), None)
        if off and (self.unit.files_named or any(one.target.values for one in self.group)):
            raise EditRefused(
                f"{format_path(off)} is false, and so what was written is no part of the chart",
                place=Place(self.unit.name),
                fix="switch it on, or name its component in 'idle' of the environment",
            )
        read = ", ".join(self.unit.values) or "values.yaml"
        said = f"{format_path(off or ())} is false in {read}: name all values files in 'values' of the target"
        return said if off else ""
