"""Keeps workflows and their trigger configs, takes job events in, and hands each match to the runner exactly once."""
