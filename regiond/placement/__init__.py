"""Which host takes a machine, and why not the others. Pure: everything comes in, every reason goes out."""
