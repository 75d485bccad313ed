from wakepoint.nodes import TriggerNode


class Manual(TriggerNode):
    """Waits for a wake-up by a person or a program (WakeUp, `wakepoint wake`) and gives out its event."""
