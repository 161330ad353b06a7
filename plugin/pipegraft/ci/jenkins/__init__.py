"""Grafting stages onto a Jenkinsfile, and taking them out again: text in, text out."""
