"""The numbers of the project, runnable by anyone. Machines differ: read ratios, and quote the machine with a figure."""
