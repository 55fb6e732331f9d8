"""Which deployment answers, where several stand behind one model name; and what happens when it does not."""
