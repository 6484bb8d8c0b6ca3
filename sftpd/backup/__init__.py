"""Backups of an instance: one archive with a signed manifest, and the instance again from it."""
