"""Composition: opens what delivery.yaml names and runs the plan."""
