"""Moving the time that Postgres shows to one service: a test replaces the offset which all its clock functions add."""

from datetime import timedelta

from wakepoint.chassis.database import Connection


async def set_clock_offset(connection: Connection, schema: str, offset: timedelta) -> None:
    """From the next statement on, `<schema>.stamp()` and `<schema>.as_of()` are `offset` ahead of the server's clock.

    Absolute, not added to what was set before. Every connection to the database sees it.
    """
    # Function bodies take no parameters: Postgres itself quotes what goes into them.
    statement = await connection.fetchval(
        "select format("
        "'create or replace function %I.clock_offset() returns interval language sql stable parallel safe "
        "return %L::interval', $1::text, $2::interval)",
        schema,
        offset,
    )
    await connection.execute(statement)
