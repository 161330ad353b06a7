"""Keys of `gate:` for Argo CD."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from pipegraft.core.model import Breach, Model, rule
from pipegraft.kubernetes.model import ClusterOptions

__all__ = ["ArgoCdOptions"]


class ArgoCdOptions(ClusterOptions, Model):
    """Which Applications, and how they are asked for."""

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
