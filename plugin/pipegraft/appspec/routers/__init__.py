"""Traffic routers of a cluster: the objects by which each splits the requests of an entrance."""
