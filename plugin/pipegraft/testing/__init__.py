"""Conformance suites for ports and hooks: one suite a port, run on every implementation, fakes included."""
