"""Forward-only migrations of schema `runner`, in the order of their numbers."""
