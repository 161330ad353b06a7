"""Resources: declared once, provided by whoever serves their class where the application runs."""
