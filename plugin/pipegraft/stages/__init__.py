"""The delivery stages: orchestration over ports."""
