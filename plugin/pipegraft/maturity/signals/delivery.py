"""Delivery: a repository of its own says what runs, and an engine makes it so."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from pipegraft.core.errors import Place
from pipegraft.core.plugins import hookimpl
from pipegraft.core.reading import Route
from pipegraft.maturity.model import Dimension, Evidence, Finding, Repository, Signal, absent, no, unseen, yes
from pipegraft.maturity.signals import (
    DELIVERY,
    NO_DELIVERY,
    NO_IAC,
    at_job,
    each,
    in_delivery,
    jobs,
    jobs_that_run,
    manifests,
    nothing_delivered,
    put,
    stage_jobs,
)
from pipegraft.text.yaml.values import Value

__all__ = ["SIGNALS", "pipegraft_maturity_signals"]

_DEPLOY = (
    r"\b(kubectl|helm|kustomize|docker (compose|stack|service|run)|docker-compose|ansible-playbook|ssh|scp"
    r"|rsync|serverless|cf push|az webapp|gcloud (run|app)|aws (ecs|lambda|s3)|terraform apply|pipegraft run"
    r"|argocd|flux)\b"
)
_DIRECT = (
    r"\b(kubectl\s+(\S+\s+)*?(apply|create|replace|patch|set\s+image|rollout\s+restart|scale|delete)"
    r"|helm\s+(\S+\s+)*?(upgrade|install)|docker\s+(stack\s+deploy|service\s+update)|oc\s+apply)\b"
)
_DAY = 86400.0
_ENGINES_THAT_HEAL = frozenset({"embedded"})


def _scripted(repository: Repository) -> Finding:
    found = [at_job(job, line) for job, line in jobs_that_run(repository, _DEPLOY)]
    found += [at_job(job) for job in jobs(repository) if job.environment]
    if found:
        return yes("a job deploys", *found[:3])
    undelivered = nothing_delivered(repository)
    if undelivered is None:
        return yes("releases of the pipeline are in the IaC repository", in_delivery(repository, "iac"))
    return no("no job deploys") if repository.delivery is None else undelivered


def _declared(repository: Repository) -> Finding:
    return nothing_delivered(repository) or yes(
        "a release was written into the IaC repository", in_delivery(repository, "iac")
    )


def _separate(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    address = repository.delivery.iac.repository
    evidence = in_delivery(repository, "iac", "repository")
    if address.strip("/") in ("", ".") or (
        re.match(r"(\./)?[\w.-]+$", address) and not address.endswith(".git")
    ):
        return no("it is part of the source repository", evidence)
    return yes("it is a repository of its own", evidence)


def _environment_files(repository: Repository) -> Finding:
    delivery, iac = repository.delivery, repository.iac
    if delivery is None:
        return no(NO_DELIVERY)
    if iac is None:
        return unseen(NO_IAC)
    good: list[Evidence] = []
    bad: list[Evidence] = []
    for name, one in delivery.environments.items():
        wanted = [f"{iac.folder}{target.file}" for target in one.targets] or [
            f"{iac.folder}environments/{name}.yaml"
        ]
        missing = [path for path in wanted if path not in iac.tree.files]
        good.append(Evidence(Place(wanted[0], 1), wanted[0]))
        bad += [Evidence(Place(path), path) for path in missing]
    return each("files that are not there", good, bad, NO_DELIVERY)


def _digests(repository: Repository) -> Finding:
    iac = repository.iac
    if iac is None:
        return no(NO_DELIVERY) if repository.delivery is None else unseen(NO_IAC)
    found = [
        Evidence(Place(f"{iac.folder}environments/{name}.yaml"), image)
        for name, one in iac.environments.items()
        for image in (component.image for component in one.components.values())
        if image
    ]
    found += [Evidence(each_.place, each_.image) for each_ in manifests(iac.tree).images]
    found = [one for one in found if not one.text.endswith("0" * 64)]  # until the first release
    bad = [one for one in found if "@sha256:" not in one.text]
    return each("images that no digest pins", found[:3], bad[:3], "no image is named yet")


def _bump(repository: Repository) -> Finding:
    stage = stage_jobs(repository, "iac-bump")
    return nothing_delivered(repository) or yes(
        "the newest deployment's commit names its source commit", *map(at_job, stage[:1])
    )


def _automated(repository: Repository) -> Finding:
    delivery, iac = repository.delivery, repository.iac
    if delivery is None:
        return no(NO_DELIVERY)
    engines = {name: one.gate.engine for name, one in delivery.environments.items()}
    healing = [
        in_delivery(repository, "environments", name, "gate")
        for name, engine in engines.items()
        if engine in _ENGINES_THAT_HEAL
    ]
    if len(healing) == len(engines):
        return yes("the engine heals and prunes", *healing)
    trees = [repository, *([iac.tree] if iac else [])]
    found = [one for tree in trees for one in manifests(tree).syncs]
    if not found:
        return unseen("the engine's objects are in neither repository")
    bad = [Evidence(one.place, one.lacks) for one in found if one.lacks]
    return each(
        "the engine does not do it by itself", [Evidence(one.place, one.name) for one in found], bad, ""
    )


def _gated(repository: Repository) -> Finding:
    stage = stage_jobs(repository, "sync-gate")
    if repository.delivery is not None and not stage:
        return no("the pipeline ends before the engine has said anything")
    return nothing_delivered(repository) or yes(
        "releases passed where sync-gate waits for the engine's verdict", at_job(stage[0])
    )


def _gate_limit(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    good = [
        in_delivery(repository, "environments", name, "gate") for name in repository.delivery.environments
    ]
    bad = [in_delivery(repository, *route[:3]) for route in _without_timeout(repository)]
    return each("gates that wait as long as the default says", good, bad, NO_DELIVERY)


def _without_timeout(repository: Repository) -> list[Route]:
    delivery = repository.delivery
    if delivery is None:
        return []
    return [
        ("environments", name, "gate", "timeout")
        for name, one in delivery.environments.items()
        if "timeout" not in one.gate.model_fields_set
    ]


def _limit_gates(repository: Repository) -> Mapping[str, str]:
    values: dict[Route, Value] = dict.fromkeys(_without_timeout(repository), "10m")
    return put(repository, DELIVERY, values)


def _nothing_direct(repository: Repository) -> Finding:
    if not jobs(repository):
        return absent("there is no pipeline")
    bad = [at_job(job, line) for job, line in jobs_that_run(repository, _DIRECT) if "--dry-run" not in line]
    return (
        no("jobs change what runs behind the engine's back", *bad[:3])
        if bad
        else yes("no job changes what runs without a commit")
    )


def _steps(repository: Repository) -> Finding:
    if repository.delivery is None:
        return no(NO_DELIVERY)
    names = list(repository.delivery.environments)
    evidence = [in_delivery(repository, "environments", name) for name in names]
    return (
        yes(f"{len(names)} environments, one after another", *evidence)
        if len(names) > 1
        else no("production is the first environment a change meets", *evidence)
    )


def _lead(repository: Repository) -> Finding:
    pace = repository.iac.pace if repository.iac else None
    if pace is None or pace.lead is None:
        return unseen("the history does not tell the lead time of any deployment")
    text = f"median lead time of ninety days: {pace.lead / 3600:.1f} h"
    return yes(text) if pace.lead < _DAY else no(text)


def _often(repository: Repository) -> Finding:
    pace = repository.iac.pace if repository.iac else None
    if pace is None:
        return unseen("no deployment is in the history")
    text = f"{pace.deployments} deployments in {pace.weeks:.0f} weeks"
    return yes(text) if pace.deployments >= max(1.0, pace.weeks) else no(text)


def _failures(repository: Repository) -> Finding:
    pace = repository.iac.pace if repository.iac else None
    if pace is None or pace.failures is None:
        return unseen("no deployment is in the history of the last ninety days")
    text = f"{100 * pace.failures:.1f}% of {pace.deployments} deployments were taken back"
    return yes(text) if pace.failures <= 0.05 else no(text)


def _drift(repository: Repository) -> Finding:
    found = jobs_that_run(
        repository, r"\b(pipegraft audit|argocd app diff|kubectl diff|flux diff|terraform plan|driftctl)\b"
    )
    if found:
        return yes("a job compares", *(at_job(job, line) for job, line in found[:3]))
    return no("no job compares what should run with what does, or proves the releases' chains")


def _signal(name: str, stage: int, claim: str, look: object, step: str, **more: object) -> Signal:
    return Signal(name, Dimension.DELIVERY, stage, claim, look, step, **more)  # type: ignore[arg-type]


SIGNALS: tuple[Signal, ...] = (
    _signal(
        "deploy-scripted",
        2,
        "a program deploys, no person",
        _scripted,
        "write the deployment as a job, or describe it in delivery.yaml",
    ),
    _signal(
        "iac-declared",
        3,
        "what runs is declared in a repository",
        _declared,
        "name the IaC repository in delivery.yaml",
    ),
    _signal(
        "iac-separate",
        4,
        "the IaC repository is one of its own",
        _separate,
        "move app.yaml and environments/ into a repository of their own",
    ),
    _signal(
        "iac-environments",
        4,
        "every environment has its file",
        _environment_files,
        "add environments/NAME.yaml to the IaC repository",
    ),
    _signal("iac-digests", 4, "the IaC repository pins images by digest", _digests, "pipegraft run iac-bump"),
    _signal(
        "iac-bump",
        4,
        "releases get there with their source commit",
        _bump,
        "pipegraft assess --fix --signal ci-delivers, then deliver once",
    ),
    _signal(
        "gitops-automated",
        4,
        "the engine syncs, heals and prunes by itself",
        _automated,
        "set syncPolicy.automated {prune: true, selfHeal: true} (Argo CD) or prune: true (Flux)",
    ),
    _signal(
        "sync-gate",
        4,
        "the pipeline waits for the engine's verdict",
        _gated,
        "pipegraft assess --fix --signal ci-delivers, then deliver once",
    ),
    _signal(
        "gate-limit",
        4,
        "every gate has a time limit of its own",
        _gate_limit,
        "pipegraft assess --fix --signal gate-limit",
        mend=_limit_gates,
    ),
    _signal(
        "nothing-direct",
        4,
        "no job changes what runs without a commit",
        _nothing_direct,
        "let iac-bump commit, and the engine apply: remove kubectl apply and helm upgrade",
    ),
    _signal(
        "environments",
        4,
        "a change meets another environment before production",
        _steps,
        "add a staging environment above production in delivery.yaml",
    ),
    _signal(
        "deploys-weekly",
        5,
        "it is delivered every week at least",
        _often,
        "deliver smaller changes: pipegraft audit --dora shows the pace",
    ),
    _signal(
        "lead-time",
        5,
        "a change is live within a day",
        _lead,
        "pipegraft audit --dora --html delivery.html: look where it waits",
    ),
    _signal(
        "change-failures",
        5,
        "at most one deployment in twenty is taken back",
        _failures,
        "pipegraft audit --dora: look what was taken back, and test for it earlier",
    ),
    _signal(
        "drift-check",
        5,
        "a job proves that what runs is what was released",
        _drift,
        "add a scheduled job: pipegraft audit --require provenance",
    ),
)
"""The signals of delivery."""


@hookimpl
def pipegraft_maturity_signals() -> Iterable[Signal]:
    """All of them."""
    return SIGNALS
