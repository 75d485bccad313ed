"""Between messages and the domain's types. Nothing here decides anything but whether a value can be read at all."""
