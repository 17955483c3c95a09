"""MAAS: its import, its servers and the parallel run; the region finds them by entry points."""
