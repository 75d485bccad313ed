"""`wakepoint-trigger import-legacy`: workflows and triggers out of a Transformer Lab database."""
