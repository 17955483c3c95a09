"""Metrics of the region for Prometheus: instruments by subject, and what a scrape reads from the database."""
