"""The database of transfers, received files, holds, requests and acceptances, with the outbox of events."""
