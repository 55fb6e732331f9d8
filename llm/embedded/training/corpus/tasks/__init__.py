"""One file a task: each has a function that takes a Random and gives a Conversation."""
