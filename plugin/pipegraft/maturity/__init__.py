"""Which of the five stages a repository has reached, dimension by dimension. Pure."""
