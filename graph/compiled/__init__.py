"""A flow as a run needs it: compiled into a plan, and proved."""
