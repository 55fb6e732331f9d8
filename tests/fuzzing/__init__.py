"""Properties that hold whatever comes over a wire: tried shortly among the tests, and for long by scripts/fuzz."""
