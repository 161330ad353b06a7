"""Resources on this machine, for the embedded engine: files, and the servers that are installed here."""
