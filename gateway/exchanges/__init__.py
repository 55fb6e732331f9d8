"""Exchanges that are kept: answers as they were sent, for who asks once more, and for who comes back."""
