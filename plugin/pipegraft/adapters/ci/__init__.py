"""CI systems: what they call things, and their templates."""
