"""Bodies with a bound."""
