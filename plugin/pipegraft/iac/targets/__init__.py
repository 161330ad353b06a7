"""Images in files that are not Pipegraft's: written as each format means it, proven by what it renders to."""
