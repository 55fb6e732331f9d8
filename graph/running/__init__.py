"""A run: one event on its way through a plan, and what its steps say on its way to whoever pulls."""
