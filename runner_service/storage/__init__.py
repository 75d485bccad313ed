"""Named SQL and one typed function a query; nothing here decides anything."""
