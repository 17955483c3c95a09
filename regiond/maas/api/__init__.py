"""The requests about MAAS."""
