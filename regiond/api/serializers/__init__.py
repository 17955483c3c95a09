"""What each resource answers: one declaration of the keys per resource."""
