"""How each file format is searched for a person, and how the person's records are cut out of it."""
