"""The typed configuration: its model, how it is loaded with its faults, and the samples rendered from it."""
