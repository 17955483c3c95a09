"""Power: actions, their plans, and the state that a machine should have."""
