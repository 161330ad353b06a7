"""Metric sources: where the counts of both versions come from."""
