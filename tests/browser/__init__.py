"""The web pages in Debian's Chromium."""
