"""Builds the components of a region, one module per layer; only this package imports all rooms."""
