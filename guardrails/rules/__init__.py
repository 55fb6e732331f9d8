"""The rules that come along, one noun a file. Each gives kinds or a whole rule; none needs a network or a model."""
