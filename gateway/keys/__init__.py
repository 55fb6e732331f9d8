"""Keys that are made while the gateway runs, and kept in its store."""
