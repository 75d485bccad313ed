"""REST: the service's RPCs over plain HTTP, by their annotations."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from trigger_service.domain.config_checks import check_configs
from trigger_service.usecases.environment import Environment
from wakepoint.chassis.errors import FieldViolation, InvalidArgument
from wakepoint.chassis.transcoder import Interceptors, Register, Special, Transcoder
from wakepoint.trigger.v1.trigger_service_pb2 import DESCRIPTOR


def make_rest(env: Environment, register: Register, interceptors: Interceptors, max_body_bytes: int) -> Transcoder:
    """The transcoder; `register` adds the servicer's methods to a server."""

    def faults_in(field: str, complete: bool, request: Mapping[str, Any]) -> Iterable[FieldViolation]:
        """What the message cannot even hold is told together with everything that the verb would say of the rest."""
        try:
            given: Any = request
            for name in field.split("."):
                given = given.get(name, ()) if isinstance(given, Mapping) else ()
            check_configs(given, env.blueprints, env.conditions.problem_of, field=field, complete=complete)
        except InvalidArgument as error:
            return error.violations
        return ()

    def faults_in_change(request: Mapping[str, Any]) -> Iterable[FieldViolation]:
        is_given = isinstance(request.get("workflow"), Mapping) and "trigger_configs" in request["workflow"]
        return faults_in("workflow.trigger_configs", True, request) if is_given else ()

    return Transcoder(
        DESCRIPTOR.services_by_name["TriggerService"],
        register,
        interceptors,
        max_body_bytes=max_body_bytes,
        special={
            "CreateWorkflow": Special(explain=partial(faults_in, "trigger_configs", False)),
            "UpdateWorkflow": Special(explain=faults_in_change),
            "UpdateTriggerConfigs": Special(explain=partial(faults_in, "configs", True)),
            "BacktestTriggers": Special(explain=partial(faults_in, "configs", True)),
        },
    )
