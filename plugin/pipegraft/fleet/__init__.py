"""Fleets: who comes first, and whether those who came first fare worse since."""
