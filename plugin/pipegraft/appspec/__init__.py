"""app.yaml: what an application consists of, and what it becomes for each engine."""
