"""ISO images in the drives of machines."""
