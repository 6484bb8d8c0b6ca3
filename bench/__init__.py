"""What we measure, with peers beside us in one interleaved run."""
