"""Executables of the operator that screen files (gates) or are told of them (observers)."""
