"""Words and rules of every request: who asks, limits, identifiers, search queries, problems by field."""
