"""The append-only Merkle log of events that a counterpart can verify, one a link and one for the system."""
