"""The commands of the RPC, with their fields and deadlines."""
