"""A flow as data, for files and for whoever draws or stores graphs."""
