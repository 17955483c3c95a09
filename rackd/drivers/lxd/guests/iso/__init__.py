"""ISO images and their drives."""
