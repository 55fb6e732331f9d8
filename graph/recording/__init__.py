"""What came into a run from outside, recorded, and played again without it."""
