"""The list of all that needs attention, with what would help."""
