"""Images in files that are not Pipegraft's: each kind finds its places by what its format means."""
