"""The only list of concrete plugins that ship with the package."""

from __future__ import annotations

from pipegraft.core.manager import Builtin

__all__ = ["PLUGINS"]


def _signals(dimension: str, names: str) -> Builtin:
    """The signals of one dimension of the path to full continuous delivery."""
    provided = (f"maturity signal {name}" for name in names.split())
    return Builtin(f"pipegraft.maturity.signals.{dimension}", *provided)


PLUGINS: tuple[Builtin, ...] = (
    Builtin("pipegraft.images.stage", "stage image-build"),
    Builtin("pipegraft.iac.stage", "stage iac-bump"),
    Builtin("pipegraft.gate.stage", "stage sync-gate"),
    Builtin("pipegraft.gray.stage", "stage gray-release"),
    Builtin("pipegraft.ci.gitlab.system", "CI system gitlab"),
    Builtin("pipegraft.ci.jenkins.system", "CI system jenkins"),
    Builtin("pipegraft.images.adapters.build.layer", "image builder layer"),
    Builtin("pipegraft.images.adapters.build.docker", "image builder docker"),
    Builtin("pipegraft.images.adapters.build.buildx", "image builder buildx"),
    Builtin("pipegraft.engine.adapters.gitops", "GitOps engine embedded"),
    Builtin("pipegraft.gate.adapters.argocd", "GitOps engine argocd"),
    Builtin("pipegraft.gate.adapters.flux", "GitOps engine flux"),
    Builtin("pipegraft.gate.adapters.kubevela", "GitOps engine kubevela"),
    Builtin("pipegraft.gate.adapters.workloads", "GitOps engine workloads"),
    Builtin("pipegraft.engine.adapters.metrics", "metric source embedded"),
    Builtin("pipegraft.gray.adapters.metrics.prometheus", "metric source prometheus"),
    Builtin("pipegraft.gray.adapters.metrics.counts", "metric source json", "metric source command"),
    Builtin(
        "pipegraft.gray.adapters.routers",
        *(f"traffic router {name}" for name in ("embedded", "gateway-api", "istio", "ingress-nginx")),
    ),
    Builtin(
        "pipegraft.gray.adapters.rollouts",
        *(f"traffic router {name}" for name in ("argo-rollouts", "flagger", "kruise-rollout")),
    ),
    Builtin("pipegraft.gray.judging.plugin", "judge sequential", "judge threshold", "judge mann-whitney"),
    Builtin(
        "pipegraft.appspec.resources.plugin",
        *(f"resource provider {name}" for name in ("local", "crossplane", "kubevela-terraform")),
    ),
    Builtin("pipegraft.core.adapters.tracing"),
    Builtin(
        "pipegraft.app.doctor_checks", *(f"examination {name}" for name in ("variables", "gate", "metrics"))
    ),
    Builtin("pipegraft.images.adapters.registry.doctor_checks", "examination registry"),
    Builtin("pipegraft.iac.adapters.git.doctor_checks", "examination iac-repository"),
    Builtin("pipegraft.iac.adapters.forge.doctor_checks", "examination gitlab-api"),
    Builtin("pipegraft.images.adapters.build.doctor_checks", "examination builders"),
    Builtin("pipegraft.app.clock_check", "examination clock"),
    _signals(
        "pipeline",
        "ci-file ci-parses ci-on-push ci-on-merge-request ci-tests test-files ci-tests-count "
        "ci-lint ci-images-named ci-job-limits ci-interruptible ci-test-reports ci-cache "
        "ci-delivers ci-templates-pinned ci-no-hands",
    ),
    _signals(
        "images",
        "dockerfile image-job image-tag-commit image-no-latest base-image-named "
        "dependencies-locked toolchain-pinned base-image-digest image-each-component "
        "dockerignore image-downloads-checked image-by-content base-images-renewed",
    ),
    _signals(
        "components",
        "readme delivery-valid code-owners intimacy components-apart sidecar-images app-spec "
        "app-spec-holds app-spec-complete business-code-alone",
    ),
    _signals(
        "delivery",
        "deploy-scripted iac-declared iac-separate iac-environments iac-digests iac-bump "
        "gitops-automated sync-gate gate-limit nothing-direct environments deploys-weekly "
        "lead-time change-failures drift-check",
    ),
    _signals(
        "release",
        "release-told-apart release-undoable gray-steps gray-metrics gray-in-pipeline "
        "gray-goes-back gray-errors-and-latency gray-bake rollback-seen",
    ),
    _signals(
        "runtime",
        "settings-outside readiness liveness resource-limits two-instances graceful-end "
        "disruption-budget autoscaling objectives",
    ),
    _signals(
        "security",
        "no-secrets no-secret-files no-ci-secrets no-image-secrets non-root dependency-updates "
        "secret-references vulnerability-scan provenance provenance-required",
    ),
)
"""Modules that implement hooks, in the order their values are shown, with everything each provides.

A module is imported when something that it provides is needed; one that provides nothing by name (it
observes, or may veto) is imported at once.
"""
