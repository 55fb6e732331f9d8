"""The providers that ship, one a file. They are named by ``kind`` in the settings file."""
