"""Pure: graphs, the log's events, what a log folds to, what may run next. No I/O, no clock, no protobuf."""
