"""The loops of a replica: claim and execute runs, fire timers, look after jobs, tell trigger_service, keep the
lease.
"""
