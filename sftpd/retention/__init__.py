"""How long received files are kept, what stops their disposal, and the disposal itself with its evidence."""
