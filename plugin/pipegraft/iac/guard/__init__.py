"""What may enter an IaC repository, as ``.pipegraft/guard.yaml`` on its protected branch says."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from pydantic import Field

from pipegraft.core.delivery_file import parse_document
from pipegraft.core.model import Model
from pipegraft.core.signing import Requirements

__all__ = ["GUARD_FILE", "GuardRules", "ImagePolicy", "matches", "read_rules"]

GUARD_FILE = ".pipegraft/guard.yaml"


class GuardRules(Model):
    """The whole file, read from the branch as it was before a push: nobody grants themselves rights."""

    pushers: Mapping[str, tuple[str, ...]] = {}
    """User → patterns of paths; `*` for everybody else. No entry at all lets everybody push everything."""
    pinned: bool = True
    """Images of app specs and environments must be pinned by digest."""
    pinned_files: tuple[str, ...] = ("rendered/*", "*/rendered/*")
    """Patterns of other files whose images must be pinned: manifests, Helm values, kustomizations."""
    sources: tuple[str, ...] = ()
    """Patterns of what files may bring in from elsewhere: addresses, and plugins as `apiVersion/kind`. With
    any, all files are looked at for others; without, those of `pinned-files`. What a commit or a digest pins
    passes."""
    pipelines: tuple[str, ...] = ()
    """Patterns of files that may change though they start programs with the repository's rights, or say who
    must agree to what: `.gitlab-ci.yml`, workflows, CODEOWNERS."""
    binaries: tuple[str, ...] = ()
    """Patterns of files that need not be text, such as packed charts: nobody looks into them."""
    gray_steps: tuple[int, ...] = ()
    """The only weights a gray release may take, one after another; any rising weights if empty."""
    secrets: bool = True
    """Refuse what looks like a key or a token."""
    links: bool = False
    """Take symbolic links and submodules, which bring in what is not checked."""
    signed: tuple[str, ...] = ()
    """Patterns of paths that only signed commits may change, by somebody whom the server trusts."""
    requests: tuple[str, ...] = ("pipegraft/*",)
    """Patterns of branches that requests to merge are made from: they may be rewritten and deleted."""

    def allows(self, pusher: str, path: str) -> bool:
        """Whether a user may change a path; `*` in a pattern matches `/` too."""
        if not self.pushers:
            return True
        return matches(path, self.pushers.get(pusher, self.pushers.get("*", ())))


class ImagePolicy(Model):
    """What must be proven of images before they may enter; a file of the server, none of the repository."""

    images: Mapping[str, Requirements] = Field(min_length=1)
    """Pattern of names, as `registry.example.com/shop/*` → what is required; the first that fits counts, and
    images that none fits are refused."""
    within: float = Field(default=60.0, gt=0)
    """Seconds for all images of a push."""

    def required(self, image: str) -> Requirements | None:
        """What is required of an image, None if nothing was thought of it."""
        name = image.partition("@")[0]
        return next((one for pattern, one in self.images.items() if matches(name, [pattern])), None)


def matches(name: str, patterns: Sequence[str]) -> bool:
    """Whether a path or branch matches one of several patterns."""
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def read_rules(text: str | None) -> GuardRules:
    """Read the file; the defaults if there is none.

    Raises:
        ConfigError: everything wrong with it.
    """
    return parse_document(text, GUARD_FILE, GuardRules) if text and text.strip() else GuardRules()
