"""From declared resources to their names, to what their providers make of them, and to everything wrong."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from pipegraft.appspec.model import DEFAULT_CLASS, App, AppEnvironment, ProviderChoice, Reference, Resource
from pipegraft.appspec.pods import Pod
from pipegraft.appspec.resource_ports import Provision, ResourceProvider, ResourceRequest, Target
from pipegraft.appspec.resource_types import checked_params, close_fix
from pipegraft.core.delivery_file import validate
from pipegraft.core.errors import ConfigError, Place, Problem, UsageError
from pipegraft.core.reading import Marked, Route

__all__ = ["UNBOUND", "BoundResource", "Platform", "ResourceName", "Scope", "bind_resources", "name_resource"]

_SECRET_SUFFIX = "-connection"  # noqa: S105 - the end of a name
_LONGEST = 63 - len(_SECRET_SUFFIX)


@dataclass(frozen=True, slots=True)
class ResourceName:
    """Names of one resource.

    Arguments:
        identity: ``type.class#id``; resources of one identity in one namespace are the same.
        name: a DNS label for everything that is made for it.
        secret: name of the secret with its outputs.
    """

    identity: str
    name: str
    secret: str


def name_resource(app: str, name: str, resource: Resource) -> ResourceName:
    """Name a resource.

    Arguments:
        name: what the application calls it.
        resource: as it is in the environment, layers merged.
    """
    of_class = resource.class_ or DEFAULT_CLASS
    identity = f"{resource.type}.{of_class}#{resource.id or f'{app}.{name}'}"
    label = f"{resource.type}-{of_class}-{resource.id}" if resource.id else f"{app}-{name}"
    label = label.replace(".", "-")
    if len(label) > _LONGEST:
        digest = hashlib.sha256(identity.encode()).hexdigest()[:8]
        label = f"{label[: _LONGEST - 9].rstrip('-')}-{digest}"
    return ResourceName(identity, label, f"{label}{_SECRET_SUFFIX}")


@dataclass(frozen=True, slots=True)
class Platform:
    """What resources are provided by.

    Arguments:
        load: answers all providers there are, by name; called only for a spec that has resources. None
            leaves resources and their placeholders as they are, for those who look at other things.
        target: what the spec is rendered to; None to check it for any.
    """

    load: Callable[[], Mapping[str, ResourceProvider]] | None = dict
    target: Target | None = None


UNBOUND = Platform(load=None)
"""Who needs no resources: what is resolved with it must not be rendered."""


@dataclass(frozen=True, slots=True)
class _Loaded:
    """A platform with its providers at hand."""

    providers: Mapping[str, ResourceProvider]
    target: Target | None


@dataclass(frozen=True, slots=True)
class BoundResource:
    """A resource and what its provider makes of it.

    Arguments:
        names: what the application calls it.
        provider: name of the provider.
    """

    names: tuple[str, ...]
    request: ResourceRequest
    provider: str
    provision: Provision

    def used_by(self, pod: Pod) -> bool:
        """Whether a container of the pod gets an output from where it is kept."""
        values = [value for member in (pod.main, *pod.guests) for value in (member.spec.env or {}).values()]
        return any(
            value in values for value in self.provision.outputs.values() if isinstance(value, Reference)
        )


@dataclass(frozen=True, slots=True)
class Scope:
    """The files of an environment.

    Arguments:
        app_marks, marks: where everything stands in ``app.yaml`` and in the environment's file.
    """

    app: App
    there: AppEnvironment
    app_marks: Marked
    marks: Marked
    environment: str
    namespace: str

    def place(self, *route: str) -> Place | None:
        """Where a key of a resource stands, the environment's before the application's."""
        whole: Route = ("resources", *route)
        for end in range(len(whole), 0, -1):
            for marks in (self.marks, self.app_marks):
                if whole[:end] in marks.keys:
                    return marks.keys[whole[:end]]
        return None


def bind_resources(
    scope: Scope, platform: Platform, problems: list[Problem]
) -> dict[str, BoundResource | None]:
    """Find each resource's provider and have it provide.

    Arguments:
        problems: takes everything that is wrong.

    Returns:
        What the application calls it → the resource, None where something is wrong with it; the same
        value for names of one identity.
    """
    if platform.load is None or not (scope.app.resources or scope.there.resources or scope.there.providers):
        return {}
    loaded = _Loaded(platform.load(), platform.target)
    problems += _unknown_overlays(scope)
    wrong = list(_wrong_choices(scope, loaded))
    if wrong:  # who would provide what is anybody's guess
        problems += wrong
        return dict.fromkeys(scope.app.resources)
    found: dict[str, BoundResource | None] = {}
    by_identity: dict[str, tuple[str, Resource]] = {}
    for name, declared in scope.app.resources.items():
        merged = _merged(declared, scope.there, name)
        named = name_resource(scope.app.app, name, merged)
        first, other = by_identity.setdefault(named.identity, (name, merged))
        if first != name:
            problems += _different(scope, name, first) if other.params != merged.params else ()
            found[name] = found[first]
            continue
        try:
            found[name] = _bind(scope, loaded, name, merged, named)
        except ConfigError as error:
            problems += error.problems
            found[name] = None
    problems += _clashes(scope, found)
    return _with_all_names(found)


def _different(scope: Scope, name: str, first: str) -> Iterator[Problem]:
    yield Problem(
        f"'{first}' and '{name}' are the same resource and have different parameters",
        scope.place(name, "params"),
        "give both the same ones, or another 'id' to one",
    )


def _merged(declared: Resource, there: AppEnvironment, name: str) -> Resource:
    overlay = there.resources.get(name)
    if overlay is None:
        return declared
    params = {**declared.params, **overlay.params}
    return declared.model_copy(
        update={
            "class_": overlay.class_ or declared.class_,
            "params": {key: value for key, value in params.items() if value is not None},
        }
    )


def _bind(
    scope: Scope, platform: _Loaded, name: str, resource: Resource, named: ResourceName
) -> BoundResource:
    choice, provider = _choose(scope, platform, name, resource)
    kind = provider.type(resource.type)
    assert kind is not None  # noqa: S101 - chosen because it has this type
    params = checked_params(name, resource.params, kind, partial(scope.place, name))
    target = platform.target or min(provider.targets[kind.name])
    request = ResourceRequest(
        **{key: getattr(named, key) for key in ("identity", "name", "secret")},
        app=scope.app.app,
        environment=scope.environment,
        namespace=scope.namespace,
        type=kind,
        class_=resource.class_ or DEFAULT_CLASS,
        id=resource.id,
        params=params,
        target=target,
    )
    options = provider.options.model_validate(dict(choice.options))
    try:
        provision = provider.provide(request, options)
    except UsageError as error:
        raise ConfigError([Problem(error.problem.message, scope.place(name), error.problem.fix)]) from error
    return BoundResource((name,), request, provider.name, provision)


def _choose(
    scope: Scope, platform: _Loaded, name: str, resource: Resource
) -> tuple[ProviderChoice, ResourceProvider]:
    """The first choice that fits. Raises ConfigError if none does."""
    known = sorted({one.name for provider in platform.providers.values() for one in provider.types})
    if resource.type not in known:
        raise _problem(
            f"there is no resource type '{resource.type}'; there are: {', '.join(known) or 'none'}",
            scope.place(name, "type"),
            close_fix(resource.type, known),
        )
    refused: list[str] = []
    for choice, provider in _choices(scope, platform):
        of_class = resource.class_ or DEFAULT_CLASS
        wanted = ((choice.type, resource.type), (choice.class_, of_class), (choice.id, resource.id))
        if any(key not in (None, value) for key, value in wanted) or not provider.type(resource.type):
            continue
        targets = provider.targets[resource.type]
        if platform.target is None or platform.target in targets:
            return choice, provider
        refused.append(f"{provider.name} provides it for {', '.join(sorted(targets))}")
    said, advice = _nobody(scope, platform, resource, refused), _advice(scope, platform, resource.type)
    raise _problem(said, scope.place(name), advice)


def _choices(scope: Scope, platform: _Loaded) -> Iterator[tuple[ProviderChoice, ResourceProvider]]:
    """Those of the environment; where it names none, and for a Compose file at home, the defaults."""
    for choice in scope.there.providers:
        if choice.provider in platform.providers:
            yield choice, platform.providers[choice.provider]
    if not scope.there.providers or platform.target == "compose":
        for provider in platform.providers.values():
            if provider.default:
                yield ProviderChoice(provider=provider.name), provider


def _nobody(scope: Scope, platform: _Loaded, resource: Resource, refused: Iterable[str]) -> str:
    what = f"{resource.type} of class '{resource.class_ or DEFAULT_CLASS}'"
    for_target = f" for the target {platform.target}" if platform.target else ""
    message = f"in {scope.environment} nobody provides {what}{for_target}"
    reasons = "; ".join(refused)
    if reasons:
        return f"{message}: {reasons}"
    classes = sorted(
        choice.class_ or "any class" for choice, provider in _choices(scope, platform)
        if choice.type in (None, resource.type) and provider.type(resource.type)
    )  # fmt: skip
    return f"{message}; of {resource.type} there are: {', '.join(dict.fromkeys(classes)) or 'none'}"


def _advice(scope: Scope, platform: _Loaded, kind: str) -> str:
    """The entries of `providers` that would do, with the options that each must have."""
    entries = []
    for provider in platform.providers.values():
        targets = provider.targets.get(kind, frozenset())
        if targets and platform.target in (None, *targets):
            needed = [
                one.alias or name for name, one in provider.options.model_fields.items() if one.is_required()
            ]
            options = f", options: {{{', '.join(f'{name}: …' for name in needed)}}}" if needed else ""
            entries.append(f"{{provider: {provider.name}, type: {kind}{options}}}")
    where = f"name who provides it under 'providers' in environments/{scope.environment}.yaml"
    return f"{where}, as a list: {' or '.join(entries)}" if entries else where


def _wrong_choices(scope: Scope, platform: _Loaded) -> Iterator[Problem]:
    for index, choice in enumerate(scope.there.providers):
        route: Route = ("providers", index)
        provider = platform.providers.get(choice.provider)
        if provider is None:
            yield Problem(
                f"there is no resource provider called '{choice.provider}'; there are: "
                f"{', '.join(platform.providers) or 'none'}",
                scope.marks.place((*route, "provider")),
                close_fix(choice.provider, platform.providers) or "install the plugin that provides it",
            )
            continue
        if choice.type and not provider.type(choice.type):
            types = ", ".join(one.name for one in provider.types)
            yield Problem(
                f"{provider.name} provides no {choice.type}; it provides: {types}",
                scope.marks.place((*route, "type")),
            )
        try:
            validate(scope.marks, dict(choice.options), provider.options, (*route, "options"))
        except ConfigError as error:
            yield from error.problems


def _unknown_overlays(scope: Scope) -> Iterator[Problem]:
    for name in scope.there.resources:
        if name not in scope.app.resources:
            yield Problem(
                f"resource '{name}' is not declared in app.yaml; there are: "
                f"{', '.join(scope.app.resources) or 'none'}",
                scope.place(name),
                close_fix(name, scope.app.resources) or "declare it in app.yaml",
            )


def _clashes(scope: Scope, found: Mapping[str, BoundResource | None]) -> Iterator[Problem]:
    """Two things of one name: an engine would take one for the other."""
    owners = {name: f"component '{name}'" for name in scope.app.components}
    for name, bound in found.items():
        if bound is None or bound.names != (name,):
            continue
        label = bound.request.name
        if owners.setdefault(label, f"resource '{name}'") != f"resource '{name}'":
            yield Problem(
                f"resource '{name}' and {owners[label]} would both be called '{label}'",
                scope.place(name),
                "rename one, or give the resource an 'id'",
            )


def _with_all_names(found: Mapping[str, BoundResource | None]) -> dict[str, BoundResource | None]:
    """The same value, with all its names, for all names of one identity."""
    shared: dict[int, list[str]] = {}
    for name, bound in found.items():
        shared.setdefault(id(bound), []).append(name)
    whole = {
        key: BoundResource(tuple(names), one.request, one.provider, one.provision)
        for key, names in shared.items()
        if (one := found[names[0]]) is not None
    }
    return {name: whole.get(id(bound)) for name, bound in found.items()}


def _problem(message: str, place: Place | None, fix: str) -> ConfigError:
    return ConfigError([Problem(message, place, fix)])
