"""Scored scenarios: every rule against the truth of what was played before its camera. `python -m benchmarks.score`"""
