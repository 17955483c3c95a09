"""The consoles of machines."""
