"""The copies of images on hosts."""
