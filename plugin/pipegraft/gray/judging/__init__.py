"""The statistics of gray releases: pure functions from what was observed to three answers.

`sequential` is the default: always valid, however often it looks. `threshold` and `mann_whitney` are the
rules other controllers use, as published, to compare with and for teams that come from there.
"""
