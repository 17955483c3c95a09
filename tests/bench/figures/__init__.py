"""What `./dev bench` measures: a module for each figure, found by its name."""
