"""Watched folders: which files in them have come to rest and may be taken."""
