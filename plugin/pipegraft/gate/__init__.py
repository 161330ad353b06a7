"""The sync-gate stage: wait for a trustworthy verdict on this revision."""
