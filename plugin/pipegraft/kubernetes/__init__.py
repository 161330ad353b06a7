"""The Kubernetes API: one client and shared watches for everything that speaks to a cluster."""
