"""The graphs that ship. Each has a module with ``build(parts)``, readable in one screen."""
