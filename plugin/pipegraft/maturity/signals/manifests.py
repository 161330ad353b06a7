"""What plain manifests of a tree say: workloads with their containers, and what a GitOps engine is told."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import yaml

from pipegraft.core.errors import Place
from pipegraft.core.limits import refuse_deep
from pipegraft.maturity.ports import Tree
from pipegraft.maturity.signals.helpers import aside

__all__ = ["Container", "Manifests", "Sync", "manifests"]

_MOST = 400
"""Files that are read; a repository of many applications has more than one assessment needs."""
_WORKLOADS = frozenset({"Deployment", "StatefulSet", "DaemonSet", "Rollout"})


@dataclass(frozen=True, slots=True)
class Container:
    """A container of a workload: where it is, what it says, and what its pod says."""

    place: Place
    workload: str
    image: str
    spec: Mapping[str, Any]
    pod: Mapping[str, Any]
    replicas: int | None


@dataclass(frozen=True, slots=True)
class Sync:
    """An object that tells a GitOps engine what to apply, and what it lacks to do it by itself."""

    place: Place
    name: str
    lacks: str


@dataclass(frozen=True, slots=True)
class Manifests:
    """Everything of interest in a tree.

    Arguments:
        images: containers that name one.
        syncs: objects of Argo CD and Flux.
        kinds: kind of every object → where the first one is.
    """

    images: tuple[Container, ...]
    syncs: tuple[Sync, ...]
    kinds: Mapping[str, Place]


@lru_cache(maxsize=8)
def manifests(tree: Tree) -> Manifests:
    """Read the manifests of a tree; templates and what is no YAML are passed over."""
    containers: list[Container] = []
    syncs: list[Sync] = []
    kinds: dict[str, Place] = {}
    for path in list(tree.find("*.yaml", "*.yml"))[:_MOST]:
        text = "" if aside(path) else tree.read(path) or ""
        if not re.search(r"^apiVersion:", text, re.MULTILINE) or "{{" in text:
            continue
        for line, document in _documents(text):
            kind = str(document.get("kind", ""))
            place = Place(path, line)
            kinds.setdefault(kind, place)
            if kind in _WORKLOADS:
                containers += _containers(document, place)
            elif (sync := _sync(kind, document, place)) is not None:
                syncs.append(sync)
    return Manifests(tuple(containers), tuple(syncs), kinds)


def _documents(text: str) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        refuse_deep(text)
        for node in yaml.compose_all(text, Loader=yaml.CSafeLoader):
            line = node.start_mark.line + 1
            document = yaml.constructor.SafeConstructor().construct_document(node)
            if isinstance(document, Mapping):
                yield line, document
    except (yaml.YAMLError, ValueError, TypeError):
        return


def _containers(document: Mapping[str, Any], place: Place) -> Iterator[Container]:
    spec = document.get("spec") or {}
    pod = (spec.get("template") or {}).get("spec") or {}
    name = str((document.get("metadata") or {}).get("name", ""))
    for one in pod.get("containers") or ():
        if isinstance(one, Mapping):
            yield Container(place, name, str(one.get("image", "")), one, pod, spec.get("replicas"))


def _sync(kind: str, document: Mapping[str, Any], place: Place) -> Sync | None:
    version, spec = str(document.get("apiVersion", "")), document.get("spec") or {}
    name = str((document.get("metadata") or {}).get("name", ""))
    if kind == "Application" and version.startswith("argoproj.io/"):
        automated = (spec.get("syncPolicy") or {}).get("automated")
        if not isinstance(automated, Mapping):
            return Sync(place, name, "syncPolicy.automated")
        lacks = [f"automated.{key}" for key in ("prune", "selfHeal") if automated.get(key) is not True]
        return Sync(place, name, ", ".join(lacks))
    if kind == "Kustomization" and version.startswith("kustomize.toolkit.fluxcd.io/"):
        suspended = "not suspended" if spec.get("suspend") else ""
        return Sync(place, name, suspended or ("" if spec.get("prune") is True else "prune"))
    if kind == "HelmRelease" and version.startswith("helm.toolkit.fluxcd.io/"):
        return Sync(place, name, "not suspended" if spec.get("suspend") else "")
    return None
