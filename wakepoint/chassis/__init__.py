"""What both services stand on: settings, pool, migrations, clocks, errors, server. Knows neither service."""
