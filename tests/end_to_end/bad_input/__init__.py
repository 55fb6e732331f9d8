"""Requests that are wrong, in kinds: what is sent, and how it is refused."""
