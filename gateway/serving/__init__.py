"""The processes: what one keeps, what several share, and how settings come and go under them."""
