"""The CI systems that stages are grafted onto."""
