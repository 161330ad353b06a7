"""The part of `delivery.yaml` that is about a gate's engine: the keys of `gate:` for each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from pipegraft.core.model import Breach, rule
from pipegraft.gate.workloads import TEMPLATED
from pipegraft.kubernetes.model import ClusterOptions

__all__ = ["ArgoCdOptions", "FluxOptions", "KubeVelaOptions", "WorkloadsOptions"]


class ArgoCdOptions(ClusterOptions):
    """Keys of `gate:` for Argo CD."""

    application: str | None = None
    """The Application."""
    applications: tuple[str, ...] = ()
    """Several Applications."""
    selector: Mapping[str, str] = {}
    """Labels of the Applications."""
    application_set: str | None = None
    """The ApplicationSet that makes them."""
    expect: int | None = Field(default=None, ge=1)
    """How many Applications there must be; needed with `selector` and `application-set`."""
    children: bool = False
    """Wait for the Applications that these declare, too (app of apps)."""
    namespace: str | None = None
    """Namespace of the Applications; `argocd` for the Kubernetes API, the server's own one for `server`."""
    project: str | None = None
    """Project that the Applications must belong to."""
    repository: str | None = None
    """URL of the IaC repository as Argo CD knows it; `iac.repository` if absent."""
    workloads: bool = True
    """Look at pods as well, where they run in the cluster that is asked and may be read."""
    server: str | None = Field(default=None, pattern=r"^https?://")
    """Argo CD's own API instead of the Kubernetes API; the token is in `$ARGOCD_AUTH_TOKEN`."""
    ca: str | None = None
    """File with the certificate authority of `server`, relative to `delivery.yaml`."""

    @rule
    def _some_are_named(self) -> Iterator[Breach]:
        open_ended = bool(self.selector) or self.application_set is not None
        if not (self.names or open_ended):
            yield Breach("expected 'application', 'applications', 'selector' or 'application-set'")
        if open_ended and self.expect is None:
            yield Breach(
                "'selector' and 'application-set' need 'expect': how many Applications there must be"
            )

    @property
    def names(self) -> tuple[str, ...]:
        """Applications that are named."""
        return ((self.application,) if self.application else ()) + self.applications


class FluxOptions(ClusterOptions):
    """Keys of `gate:` for Flux."""

    kustomization: str | None = None
    """The Kustomization."""
    kustomizations: tuple[str, ...] = ()
    """Several Kustomizations."""
    selector: Mapping[str, str] = {}
    """Labels of the Kustomizations."""
    expect: int | None = Field(default=None, ge=1)
    """How many Kustomizations there must be; needed with `selector`."""
    children: bool = True
    """Wait for the Kustomizations that these declare, too."""
    namespace: str = "flux-system"
    """Namespace of the Kustomizations."""
    repository: str | None = None
    """URL of the IaC repository as Flux knows it; `iac.repository` if absent."""
    workloads: bool = True
    """Look at workloads and pods, where they may be read."""

    @rule
    def _some_are_named(self) -> Iterator[Breach]:
        if not (self.names or self.selector):
            yield Breach("expected 'kustomization', 'kustomizations' or 'selector'")
        if self.selector and self.expect is None:
            yield Breach("'selector' needs 'expect': how many Kustomizations there must be")

    @property
    def names(self) -> tuple[str, ...]:
        """Kustomizations that are named."""
        return ((self.kustomization,) if self.kustomization else ()) + self.kustomizations


class KubeVelaOptions(ClusterOptions):
    """Keys of `gate:` for KubeVela."""

    application: str | None = None
    """The Application."""
    applications: tuple[str, ...] = ()
    """Several Applications."""
    namespace: str = Field(default="default", min_length=1)
    """Their namespace."""
    workloads: bool = True
    """Look at workloads and pods, where they may be read."""

    @rule
    def _some_are_named(self) -> Iterator[Breach]:
        if not self.names:
            yield Breach("expected 'application' or 'applications'")

    @property
    def names(self) -> tuple[str, ...]:
        """Applications that are named."""
        return ((self.application,) if self.application else ()) + self.applications


class WorkloadsOptions(ClusterOptions):
    """Keys of `gate:` for plain workloads."""

    objects: tuple[str, ...] = ()
    """``Deployment/web``, ``StatefulSet/queue``, ``Job/migrate``, ``CronJob/nightly``, …"""
    selector: Mapping[str, str] = Field(default={}, max_length=1)
    """A label that the workloads have, and its value."""
    expect: int | None = Field(default=None, ge=1)
    """How many workloads there must be; needed with `selector`."""
    namespace: str = "default"
    """Their namespace."""

    @rule
    def _some_are_named(self) -> Iterator[Breach]:
        if not (self.objects or self.selector):
            yield Breach("expected 'objects' or 'selector'")
        if self.selector and self.expect is None:
            yield Breach("'selector' needs 'expect': how many workloads there must be")
        for text in self.objects:
            kind, _, name = text.partition("/")
            if kind not in TEMPLATED or not name:
                yield Breach(f"expected KIND/NAME with a kind of {', '.join(TEMPLATED)}, found '{text}'")
