"""Domain XML: built from a spec, and parsed."""
