"""Rebuilding a guest from an image."""
