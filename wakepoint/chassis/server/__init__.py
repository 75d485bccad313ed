"""Hosting a service: gRPC, its HTTP face and the management port in one event loop, from start to drain.

A composition root::

    async def serve(settings: Settings) -> None:
        metrics = Metrics()
        async with ServiceHost(settings, metrics) as host:  # takes the addresses; alive, not ready
            database = await Database.open(settings.dsn, application_name="trigger")
            host.on_stop(database.close)
            background = Background()
            host.check("database", database.ping)
            host.on_drain(background.stop)
            host.add_grpc(SERVICE_NAME, partial(add_TriggerServiceServicer_to_server, Servicer(database)))
            host.mount(http_app(database))
            await host.run()  # ready; returns after SIGTERM or SIGINT, drained and stopped

    def main() -> None:
        launch(Settings, serve)
"""

from wakepoint.chassis.server.addresses import Addresses
from wakepoint.chassis.server.host import ServiceHost, launch

__all__ = ["Addresses", "ServiceHost", "launch"]
