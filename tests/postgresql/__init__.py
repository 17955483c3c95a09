"""PostgreSQL for tests, and the statements and rows that they look at."""
