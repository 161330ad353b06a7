"""Rendered data as YAML, the same bytes on every run."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml

__all__ = ["dump_documents"]


class _Dumper(yaml.CSafeDumper):
    """Writes every value in full: aliases are not what people expect in manifests."""

    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True


def dump_documents(documents: Iterable[Any]) -> str:
    """Write documents in the order of their keys, separated by ``---``."""
    return yaml.dump_all(
        documents,
        Dumper=_Dumper,
        sort_keys=False,
        default_flow_style=False,
        allow_unicode=True,
        explicit_start=True,
        width=4096,
    )
