"""The region: makes all decisions and stores all state; never talks to a hypervisor."""
