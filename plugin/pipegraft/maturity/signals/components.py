"""Components: what the application consists of, and how close its parts live."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import permutations
from typing import Any

from pipegraft.core.errors import PipegraftError, Place
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import load_marked
from pipegraft.maturity.model import Dimension, Evidence, Finding, Repository, Signal, absent, no, unseen, yes
from pipegraft.maturity.signals import DELIVERY, NO_DELIVERY, NO_IAC, each, in_delivery, put

__all__ = ["SIGNALS", "pipegraft_maturity_signals"]


def _described(repository: Repository) -> Finding:
    found = repository.find("README*", "readme*")
    top = [path for path in found if "/" not in path and (repository.read(path) or "").strip()]
    return yes("a readme is there", Evidence(Place(top[0], 1), top[0])) if top else no("there is no readme")


def _owned(repository: Repository) -> Finding:
    found = [path for path in repository.find("CODEOWNERS") if path.count("/") <= 1]
    lines = [
        line
        for path in found
        for line in (repository.read(path) or "").splitlines()
        if line.strip() and not line.lstrip().startswith("#") and "@" in line
    ]
    return (
        yes("owners are named", Evidence(Place(found[0], 1), lines[0]))
        if lines
        else no("no owners are named")
    )


def _valid(repository: Repository) -> Finding:
    if repository.delivery:
        return yes("it is valid", in_delivery(repository, "app"))
    if repository.delivery_problem:
        return no(repository.delivery_problem, Evidence(Place(DELIVERY, 1)))
    return no("there is no delivery.yaml")


def _written(repository: Repository, name: str) -> Mapping[str, Any]:
    """A component as the file has it, without defaults."""
    try:
        data = load_marked(repository.read(DELIVERY) or "", DELIVERY).data
        found: Mapping[str, Any] = data["components"][name] or {}
    except (PipegraftError, KeyError, TypeError):
        return {}
    return found


def _intimacy(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    good = [in_delivery(repository, "components", name) for name in repository.delivery.components]
    bad = [
        in_delivery(repository, "components", name)
        for name in repository.delivery.components
        if "intimacy" not in _written(repository, name)
    ]
    return each("components that do not say how close they live", good, bad, NO_DELIVERY)


def _write_intimacy(repository: Repository) -> Mapping[str, str]:
    if repository.delivery is None:
        return {}
    return put(
        repository,
        DELIVERY,
        {
            ("components", name, "intimacy"): one.intimacy
            for name, one in repository.delivery.components.items()
            if "intimacy" not in _written(repository, name)
        },
    )


def _apart(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    paths = {name: f"{one.path.rstrip('/')}/" for name, one in repository.delivery.components.items()}
    inside = [
        in_delivery(repository, "components", inner)
        for outer, inner in permutations(paths, 2)
        if paths[inner].startswith(paths[outer])
    ]
    good = [in_delivery(repository, "components", name) for name in paths]
    return each("components within another one's folder", good, inside, NO_DELIVERY)


def _sidecars(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    ipc = [name for name, one in repository.delivery.components.items() if one.intimacy == "ipc"]
    shared = [
        name
        for name in ipc
        if any(
            repository.delivery.image_repository(name) == repository.delivery.image_repository(other)
            for other in repository.delivery.components
            if other != name
        )
    ]
    good = [in_delivery(repository, "components", name) for name in ipc]
    bad = [in_delivery(repository, "components", name) for name in shared]
    return each("sidecars that share an image", good, bad, "there is no sidecar")


def _app_spec(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    if all(one.targets for one in repository.delivery.environments.values()):
        return absent("every environment has targets of another tool")
    iac = repository.iac
    if iac is None:
        return unseen(NO_IAC)
    path = f"{iac.folder}app.yaml"
    if iac.app is None:
        return no(
            f"the IaC repository has no valid {path}",
            *(Evidence(Place(path), one) for one in iac.problems[:3]),
        )
    return yes("the app spec says what runs", Evidence(Place(path, 1), f"app: {iac.app.app}"))


def _spec_holds(repository: Repository) -> Finding:
    iac = repository.iac
    if repository.delivery is None:
        return no(NO_DELIVERY)
    if iac is None:
        return unseen(NO_IAC)
    if iac.app is None:
        return absent("there is no app spec")
    if iac.problems:
        return no(iac.problems[0])
    files = [Evidence(Place(f"{iac.folder}environments/{name}.yaml", 1), name) for name in iac.environments]
    return (
        yes("every environment fits the app spec", *files[:3]) if files else no("no environment is declared")
    )


def _same_components(repository: Repository) -> Finding:
    iac, delivery = repository.iac, repository.delivery
    if delivery is None:
        return no(NO_DELIVERY)
    if iac is None:
        return unseen(NO_IAC)
    if iac.app is None:
        return absent("there is no app spec")
    missing = [name for name in delivery.components if name not in iac.app.components]
    good = [in_delivery(repository, "components", name) for name in delivery.components]
    bad = [in_delivery(repository, "components", name) for name in missing]
    return each("components that the app spec does not know", good, bad, NO_DELIVERY)


def _business_alone(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    beside = [name for name, one in repository.delivery.components.items() if one.intimacy == "ipc"]
    found = (in_delivery(repository, "components", name) for name in beside)
    return (
        yes("what every service needs is beside it", *found)
        if beside
        else no("proxies, logs and rights are part of the services, or missing")
    )


def _signal(name: str, stage: int, claim: str, look: object, step: str, **more: object) -> Signal:
    return Signal(name, Dimension.COMPONENTS, stage, claim, look, step, **more)  # type: ignore[arg-type]


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "readme",
        2,
        "the repository says what it is",
        _described,
        "write README.md: what it is, how to build and run it",
    ),
    _signal(
        "delivery-valid",
        3,
        "delivery.yaml is there and valid",
        _valid,
        "write delivery.yaml: `pipegraft schema` helps the editor",
    ),
    _signal("code-owners", 3, "it is written down who answers for what", _owned, "write CODEOWNERS"),
    _signal(
        "intimacy",
        3,
        "every component says how close it lives",
        _intimacy,
        "pipegraft assess --fix --signal intimacy",
        mend=_write_intimacy,
    ),
    _signal(
        "components-apart",
        3,
        "components lie in folders of their own",
        _apart,
        "move the inner component's folder out: a change in one would build both",
    ),
    _signal(
        "sidecar-images",
        3,
        "every sidecar is an image of its own",
        _sidecars,
        "give the sidecar an `image` of its own in delivery.yaml",
    ),
    _signal(
        "app-spec",
        4,
        "an app spec says what runs",
        _app_spec,
        "write app.yaml in the IaC repository (docs/app-spec.md)",
    ),
    _signal(
        "app-spec-holds", 4, "every environment fits the app spec", _spec_holds, "pipegraft render FOLDER"
    ),
    _signal(
        "app-spec-complete",
        4,
        "the app spec knows every component",
        _same_components,
        "add the component to app.yaml",
    ),
    _signal(
        "business-code-alone",
        5,
        "what every service needs beside its business is a component of its own",
        _business_alone,
        "move it into a sidecar: `intimacy: ipc` in delivery.yaml",
    ),
)
"""The signals of components."""


@hookimpl
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """All of them."""
    return SIGNALS
