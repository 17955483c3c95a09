"""The pages of tasks, which the API calls operations."""
