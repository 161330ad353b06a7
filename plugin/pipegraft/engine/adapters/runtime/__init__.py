"""Workload runtimes of the embedded engine."""
