"""The statistics of gray releases: pure functions from what was observed to three answers.

`sequential` is valid at every look, however often it looks.
"""
