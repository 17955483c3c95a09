"""What the figures are held against: the same work done correctly and simply, without anything clever."""
