"""What goes on by itself: handing firings to the runner, and telling other replicas that there are some."""
