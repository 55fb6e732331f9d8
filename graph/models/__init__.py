"""Models as steps use them: what a model is, where it runs, who selects it, and what is told of its calls."""
