"""What several stages do with ports: rewrite a branch under compare-and-swap, wait for a verdict."""
