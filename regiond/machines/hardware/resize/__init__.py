"""Changes of the cores and memory of machines."""
