"""A recorded MAAS: a server that answers as MAAS's API does, made of the rows of `tests.maas_site`.

`server.serving` starts it; `state.Maas` is what a test sets and reads. Handlers are in `routes.ROUTES`: a module that
adds some updates that table. The modules name the sections of the facts (continuity.md, vm-hosts.md) that they follow.
"""
