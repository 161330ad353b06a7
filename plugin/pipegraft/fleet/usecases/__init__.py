"""One change to many repositories: proposed to each, in waves where it must prove itself first."""
