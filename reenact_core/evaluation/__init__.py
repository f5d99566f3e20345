"""How good is a reenactment? Metrics, the self-reconstruction protocol, and its reports.

Start at `protocol.evaluate`; formulas and the JSON schema are in `docs/evaluation.md`.
"""
