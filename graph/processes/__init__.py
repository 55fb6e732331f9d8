"""Steps in processes: the step is made there once, and calls, chunks and cancellation reach it over a socket."""
