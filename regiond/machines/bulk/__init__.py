"""One operation that acts on many machines, with a child for each of them."""
