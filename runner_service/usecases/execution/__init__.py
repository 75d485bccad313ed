"""Go on with one claimed run until it finishes, suspends, or is no longer this replica's."""
