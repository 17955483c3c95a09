"""Sets the database up with least privilege, and changes its schema as the owner of the tables."""
