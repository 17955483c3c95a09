"""Values as the pages show them: meters, tables, steps, numbers."""
