"""Guests, images, keys and deployments that tests of several rooms use."""
