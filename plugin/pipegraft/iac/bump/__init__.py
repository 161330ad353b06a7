"""What iac-bump changes in the files of an IaC repository. Everything here is pure."""
