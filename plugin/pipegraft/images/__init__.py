"""Images as data: what goes into one, what its name and bytes follow from. No file or network is touched."""
