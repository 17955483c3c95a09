"""Static addresses of guests: DHCP reservations and cloud-init seeds."""
