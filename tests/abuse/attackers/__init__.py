"""What attacks: strangers, users, guests, a rack, hypervisors and a MAAS."""
