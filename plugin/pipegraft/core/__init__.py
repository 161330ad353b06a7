"""What every room stands on: errors, declared models, plugins, the plan and the release record."""
