"""Guests as requests, region and rack describe them."""
