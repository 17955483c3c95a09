"""The hosts on which the contracts run, and samples of guests."""
