"""Traffic routers: what splits requests between the versions of a workload."""
