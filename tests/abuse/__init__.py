"""Attacks a deployment of real processes while a well-behaved client continues: `./dev abuse`.

The attackers run in a process of their own (`worker`), the well-behaved client in the one that measures (`run`).
`judgement` compares what was measured with the limits.
"""
