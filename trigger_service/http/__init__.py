"""REST on plain paths, for people and existing frontends."""
