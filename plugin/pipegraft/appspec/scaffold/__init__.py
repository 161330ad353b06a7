"""What a source repository tells about an application, and the first files that say it to Pipegraft."""
