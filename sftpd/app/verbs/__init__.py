"""What operators can ask for: a module a subject, each with its table of verbs."""
