"""Named SQL and one typed function per statement. Rows come in and go out as the domain's types."""
