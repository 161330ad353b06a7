"""Official schemas of custom resources, made strict."""

from __future__ import annotations

from typing import Any


def closed(schema: Any) -> Any:
    """The schema with objects that take no other keys, as the API server drops them silently."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    found = {key: closed(value) for key, value in schema.items()}
    open_object = schema.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in schema
    if isinstance(schema.get("properties"), dict) and not open_object:
        found["additionalProperties"] = False
    if set(schema.get("properties", {})) >= {"apiVersion", "kind", "metadata", "spec"}:
        found["properties"]["metadata"] = {"type": "object"}
    return found
