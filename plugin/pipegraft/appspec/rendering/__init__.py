"""What the app spec becomes for an engine: plain data, and deterministic bytes."""
