"""What watches runs: Instruments of the graph."""
