"""The pages about MAAS."""
