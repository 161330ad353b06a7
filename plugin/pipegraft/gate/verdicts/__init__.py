"""From what an engine reports to a verdict: one pure rule an engine."""
