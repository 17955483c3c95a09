"""Chromium, its visitors and the regions that they visit."""
