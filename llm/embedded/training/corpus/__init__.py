"""The synthetic dialogues that `penstock-demo` is trained on: made by program, endless, without any outside text."""
