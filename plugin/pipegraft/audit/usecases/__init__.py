"""`pipegraft audit`: what git and the registry prove of a release, and what the history says of delivery."""
