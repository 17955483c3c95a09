"""Sets the database up with least privilege, and changes its schema later, with the rights of an administrator."""
