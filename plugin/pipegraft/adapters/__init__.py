"""The outside world: each module speaks to one system and translates its errors."""
