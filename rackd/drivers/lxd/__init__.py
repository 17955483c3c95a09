"""The LXD driver."""
