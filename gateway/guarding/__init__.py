"""The policies around a run."""
