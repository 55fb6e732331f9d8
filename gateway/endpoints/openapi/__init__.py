"""The description of the API, as far as its reader may use it."""
