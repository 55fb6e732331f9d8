"""What the workers of a gateway share: what has been spent, and what is reserved."""
