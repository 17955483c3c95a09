"""States, views, rows and steps of machines, which every change reads."""
