"""How files cross a link: received, sent and collected, screened on the way, each once."""
