"""The agreement with one counterparty: its parts, its life cycle, its terms, and the gate they form."""
