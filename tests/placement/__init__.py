"""Random fleets, and an oracle that places requirements on them."""
