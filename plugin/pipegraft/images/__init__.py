"""The image-build stage: each component's image, built only where none follows from the same inputs yet."""
