"""The RPC of programs: the calls that clients with a certificate may make."""
