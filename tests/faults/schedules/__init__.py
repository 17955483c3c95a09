"""Random schedules: a state machine decides every step of a region, every answer of a host, and the time."""
