"""Wakepoint: durable waiting for workflows, as two gRPC services on Postgres.

What users import lives one level down: `wakepoint.client` to talk to the services, `wakepoint.nodes` to write node
types of one's own, and `wakepoint.<package>.v1` for the generated messages. Nothing is imported here, so that each of
them costs only what it needs.
"""
