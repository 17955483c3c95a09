"""The web pages: what the API offers, in a browser."""
