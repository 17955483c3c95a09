"""Random schedules: a region whose every step, answer and hour happens when a state machine says so."""
