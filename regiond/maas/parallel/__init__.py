"""The time in which a MAAS and Innkeeper have the same VM hosts: one is in charge of each, and that can change."""
