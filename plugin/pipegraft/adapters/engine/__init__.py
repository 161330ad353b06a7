"""GitOps engines: clients that read their status, and the embedded engine's status server."""
