"""Pure rules: what a config may say, when it matches, how a firing retries. No I/O, no clock, no wire types."""
