"""VM hosts: adding, changing, refreshing, trusting and removing them."""
