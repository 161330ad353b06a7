"""What holds for every test: Hypothesis tries the same examples each time, and on no clock."""

from hypothesis import settings

settings.load_profile("ci")  # Hypothesis' own: derandomized, no deadline, no database of earlier failures
