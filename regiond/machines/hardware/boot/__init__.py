"""The order in which machines try their devices when they boot."""
