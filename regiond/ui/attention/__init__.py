"""The list of what needs attention, and its lines on other pages."""
