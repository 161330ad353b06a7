"""The site made of these pages: `make site`."""

from pipegraft import __version__

project = "Pipegraft"
author = "The Pipegraft authors"
release = __version__
extensions = ["myst_parser"]
html_theme = "furo"
html_title = f"Pipegraft {__version__}"
html_copy_source = False
html_show_copyright = False
exclude_patterns = ["conf.py"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]
