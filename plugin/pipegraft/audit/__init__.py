"""What an IaC repository's history proves of a release, and what it says of delivery as a whole. Pure."""
