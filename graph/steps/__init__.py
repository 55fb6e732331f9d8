"""The steps that ship, one noun a file."""
