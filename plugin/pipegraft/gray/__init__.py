"""Gray releases: a state machine over the environment file, its history and what the judge says.

Nothing is kept but the file and the commits that changed it, so whoever reads them can go on.
"""
