"""Servers made of Python libraries as they come, each a program of its own: PORT HOST_KEY AUTHORIZED_KEYS."""
