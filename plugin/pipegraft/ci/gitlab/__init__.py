"""GitLab CI configuration as GitLab understands it, and how stages are grafted onto it.

The semantics are those of GitLab's documentation, https://docs.gitlab.com/ci/yaml/: local files are
included and merged, then `extends` is resolved, then `!reference`, then defaults are inherited.
"""
