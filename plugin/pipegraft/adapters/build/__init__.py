"""Image builders."""
