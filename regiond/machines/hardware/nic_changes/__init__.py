"""NICs that machines get and lose after their compose."""
