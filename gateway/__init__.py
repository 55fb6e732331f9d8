"""HTTP in, HTTP out. The only package that knows servers, keys and the environment."""
