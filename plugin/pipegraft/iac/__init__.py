"""The iac-bump stage: a release is a commit in the application's IaC repository."""
