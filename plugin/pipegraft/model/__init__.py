"""Frozen values: what users declare and what stages hand on."""
