"""How users write where images are kept."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, Field

__all__ = ["REGISTRY_HOST", "RegistryAddress"]


def _registry_address(value: str) -> str:
    if not re.fullmatch(_REGISTRY, value):
        raise ValueError("expected a registry such as registry.example.com/shop or oci:FOLDER")
    return value


REGISTRY_HOST = r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::[0-9]{1,5})?"
"""``host[:port]``."""
_REGISTRY = rf"oci:.+|{REGISTRY_HOST}(?:/[a-z0-9]+(?:[._-]+[a-z0-9]+)*)*/?"
RegistryAddress = Annotated[
    str,
    AfterValidator(_registry_address),
    Field(json_schema_extra={"pattern": rf"^(?:{_REGISTRY})$", "minLength": 1}),
]
"""Where images are kept: a registry with the first part of its repositories, or a folder."""
