"""A small model of workflows, events, pauses and dispatching: what the firings must be after any sequence of steps.

Time is counted in units of a thousand seconds, so that the few seconds that a test really takes change nothing.
"""

from dataclasses import dataclass, field

GIVE_UP_AFTER = 5
RETRY_UNITS = 0.8


@dataclass(frozen=True)
class Config:
    is_enabled: bool = True
    condition: str = ""
    delay: float | None = None
    quiet: float | None = None
    max_wait: float | None = None
    max_firings: int = 0
    rate_max: int = 0
    rate_window: float = 0.0
    while_paused: str = ""


@dataclass
class Workflow:
    config: Config
    is_deleted: bool = False
    is_off: bool = False
    paused: str = ""
    fired: int = 0
    window_start: float | None = None
    window_fired: int = 0
    refusals_in_a_row: int = 0
    is_refused: bool = False


@dataclass
class Firing:
    workflow: int
    event: str
    created: float
    state: str = "QUEUED"
    held_by: str = ""
    due: float = 0.0
    attempts: int = 0
    refusals: int = 0

    @property
    def is_manual(self) -> bool:
        return self.event == "MANUAL"

    @property
    def is_waiting(self) -> bool:
        return self.state in {"QUEUED", "RETRYING", "HELD"}


@dataclass
class Model:
    now: float = 0.0
    paused: str = ""
    is_away: bool = False
    workflows: list[Workflow] = field(default_factory=list)
    firings: list[Firing] = field(default_factory=list)
    events: set[str] = field(default_factory=set)
    decisions: dict[tuple[str, int], str] = field(default_factory=dict)

    def report(self, event: str) -> None:
        if event in self.events:
            return
        self.events.add(event)
        for number, workflow in enumerate(self.workflows):
            if workflow.config.is_enabled and not workflow.is_deleted and not workflow.is_off:
                self._match(event, number, workflow)

    def _match(self, event: str, number: int, workflow: Workflow) -> None:
        config, pause = workflow.config, workflow.paused or self.paused
        if config.condition:
            self.decisions[event, number] = "CONDITION_ERROR"
        elif pause and (config.while_paused or pause) == "DROP_AND_RECORD":
            self.decisions[event, number] = "PAUSED"
        elif not self._joins(event, number, config) and self._is_let_through(event, number, workflow):
            self._fire(event, number, config)

    def _joins(self, event: str, number: int, config: Config) -> bool:
        standing = [f for f in self.firings if f.workflow == number and f.held_by == "DEBOUNCE"]
        if config.quiet is None or not standing:
            return False
        [firing] = standing
        if firing.due <= self.now:
            self._release(firing)
            return False
        self.decisions.setdefault((firing.event, number), "DEBOUNCED")
        self.decisions[event, number] = "DEBOUNCED"
        latest = firing.created + (config.max_wait if config.max_wait is not None else float("inf"))
        firing.event, firing.due = event, min(self.now + config.quiet, latest)
        return True

    def _is_let_through(self, event: str, number: int, workflow: Workflow) -> bool:
        config, start, in_window = workflow.config, workflow.window_start, workflow.window_fired
        if config.rate_max and (start is None or start + config.rate_window <= self.now):
            start, in_window = self.now, 0
        if config.max_firings and workflow.fired >= config.max_firings:
            self.decisions[event, number] = "LIMIT_REACHED"
            return False
        if config.rate_max and in_window >= config.rate_max:
            self.decisions[event, number] = "RATE_LIMITED"
            return False
        workflow.fired += bool(config.max_firings)
        workflow.window_start, workflow.window_fired = start, in_window + bool(config.rate_max)
        return True

    def _fire(self, event: str, number: int, config: Config) -> None:
        firing = Firing(number, event, self.now, due=self.now)
        self.firings.append(firing)
        if config.quiet is not None:
            self._hold(firing, "DEBOUNCE", self.now + min(config.quiet, config.max_wait or config.quiet))
        elif config.delay is not None:
            self._hold(firing, "DELAY", self.now + config.delay)
        elif self._is_paused(firing):
            self._hold(firing, "PAUSE", self.now)
            self.decisions[event, number] = "PAUSED"

    def _hold(self, firing: Firing, by: str, until: float) -> None:
        firing.state, firing.held_by, firing.due = "HELD", by, until

    def _is_paused(self, firing: Firing) -> bool:
        return not firing.is_manual and bool(self.workflows[firing.workflow].paused or self.paused)

    def _release(self, firing: Firing) -> None:
        workflow, was_held_by = self.workflows[firing.workflow], firing.held_by
        if workflow.is_deleted or workflow.is_off or not workflow.config.is_enabled:
            self._cancel(firing)
            return
        firing.state, firing.held_by = "QUEUED", ""
        if was_held_by == "DEBOUNCE" and workflow.config.delay is not None:
            firing.due += workflow.config.delay
            if firing.due > self.now:
                self._hold(firing, "DELAY", firing.due)
                return
        if self._is_paused(firing):
            self._hold(firing, "PAUSE", firing.due)

    def _cancel(self, firing: Firing) -> None:
        firing.state, firing.held_by = "CANCELLED", ""

    def release_due(self) -> None:
        for firing in self.firings:
            while firing.held_by in {"DELAY", "DEBOUNCE"} and firing.due <= self.now:
                self._release(firing)

    def pause(self, number: int | None, mode: str) -> None:
        if number is None:
            self.paused = mode
        else:
            self.workflows[number].paused = mode
        for firing in self._in(number):
            if firing.state in {"QUEUED", "RETRYING"} and not firing.is_manual:
                self._hold(firing, "PAUSE", firing.due)

    def resume(self, number: int | None) -> None:
        if number is None:
            self.paused = ""
        else:
            self.workflows[number].paused = ""
        for firing in self._in(number):
            if firing.held_by == "PAUSE":
                self._release(firing)

    def _in(self, number: int | None) -> list[Firing]:
        return [firing for firing in self.firings if number in {None, firing.workflow}]

    def configure(self, number: int, config: Config) -> None:
        workflow = self.workflows[number]
        workflow.config = config
        if config.is_enabled and workflow.is_off:
            workflow.is_off, workflow.refusals_in_a_row = False, 0

    def delete(self, number: int) -> None:
        self.workflows[number].is_deleted = True
        for firing in self._in(number):
            if firing.is_waiting:
                self._cancel(firing)

    def dispatch(self) -> None:
        refused: dict[int, int] = {}
        for firing in self.firings:
            if firing.state in {"QUEUED", "RETRYING"} and firing.due <= self.now:
                self._hand_over(firing, refused)
        for number, count in refused.items():
            self._count(number, count)

    def _hand_over(self, firing: Firing, refused: dict[int, int]) -> None:
        workflow = self.workflows[firing.workflow]
        if workflow.is_deleted or (workflow.is_off and not firing.is_manual):
            self._cancel(firing)
        elif self._is_paused(firing):
            self._hold(firing, "PAUSE", firing.due)
        elif self.is_away:
            firing.state, firing.due = "QUEUED", self.now
        elif workflow.is_refused:
            firing.attempts, firing.refusals = firing.attempts + 1, firing.refusals + 1
            firing.state = "DEAD" if firing.refusals >= GIVE_UP_AFTER else "RETRYING"
            firing.due = self.now + RETRY_UNITS
            refused[firing.workflow] = refused.get(firing.workflow, 0) + 1
        else:
            firing.attempts, firing.state = firing.attempts + 1, "DISPATCHED"
            workflow.refusals_in_a_row = 0

    def _count(self, number: int, count: int) -> None:
        workflow = self.workflows[number]
        workflow.refusals_in_a_row += count
        if workflow.refusals_in_a_row < GIVE_UP_AFTER:
            return
        workflow.refusals_in_a_row = 0
        workflow.is_off = True
        for firing in self._in(number):
            if firing.is_waiting and not firing.is_manual:
                self._cancel(firing)

    def retry(self, firing: Firing) -> bool:
        """Whether it is allowed."""
        workflow = self.workflows[firing.workflow]
        if firing.state in {"DEAD", "RETRYING"}:
            if workflow.is_deleted or (workflow.is_off and not firing.is_manual):
                return False
            firing.state, firing.refusals, firing.due = "QUEUED", 0, self.now
        return firing.state == "QUEUED"

    def cancel(self, firing: Firing) -> bool:
        """Whether it is allowed."""
        if firing.state == "DISPATCHED":
            return False
        self._cancel(firing)
        return True
