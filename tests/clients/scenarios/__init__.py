"""What clients of MAAS do, from their first call to the last, with a host of any kind."""
