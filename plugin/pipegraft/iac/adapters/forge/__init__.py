"""Forges: servers that hold repositories and review changes to them."""
