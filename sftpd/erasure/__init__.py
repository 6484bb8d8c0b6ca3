"""Deletion requests: find what is held about one person, remove it, prove it and sign for it."""
