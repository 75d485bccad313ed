"""Between messages and the domain's types; nothing here decides anything but whether a value can be read at all."""
