"""Explanations, backtests, statistics and replays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TypeVar

from trigger_service.domain.explaining import Decision
from trigger_service.domain.firings import Firing
from trigger_service.rpc.convert.firings import firing_to_message
from trigger_service.rpc.convert.workflows import config_to_message, given_configs
from trigger_service.usecases.backtest_triggers import Backtest, Trial
from trigger_service.usecases.get_trigger_stats import Counts, TriggerStats
from trigger_service.usecases.replay_events import ReplayRequest
from wakepoint.chassis.protojson import datetime_to_timestamp, duration_to_timedelta, timestamp_to_datetime
from wakepoint.trigger.v1 import trigger_pb2 as messages
from wakepoint.trigger.v1 import trigger_service_pb2 as calls

_Counted = TypeVar("_Counted", calls.TriggerTypeStats, calls.TriggerStatsBucket)


def decision_to_message(decision: Decision) -> messages.Decision:
    """Why a workflow did, did not, would or would not fire."""
    return messages.Decision(
        event_id=decision.event_id,
        workflow_id=str(decision.workflow_id),
        workflow_name=decision.workflow_name,
        verdict=decision.ruling.verdict.value,
        detail=decision.ruling.detail,
        config=config_to_message(decision.config) if decision.config else None,
    )


def trial_of(request: calls.BacktestTriggersRequest) -> Trial:
    """Configs to be tried. InvalidArgument for values that cannot be read."""
    return Trial(
        request.workflow_id,
        request.experiment_id,
        given_configs(request),
        timestamp_to_datetime(request.start_time, "start_time") if request.HasField("start_time") else None,
        timestamp_to_datetime(request.end_time, "end_time") if request.HasField("end_time") else None,
    )


def backtest_to_message(backtest: Backtest) -> calls.BacktestTriggersResponse:
    """What changed configs would have done."""
    return calls.BacktestTriggersResponse(
        would_fire=map(decision_to_message, backtest.would_fire),
        no_longer=map(decision_to_message, backtest.no_longer),
        newly=map(decision_to_message, backtest.newly),
    )


def spans_of(request: calls.GetTriggerStatsRequest) -> tuple[timedelta | None, timedelta | None]:
    """Window and bucket, None where absent."""
    return (
        duration_to_timedelta(request.window, "window") if request.HasField("window") else None,
        duration_to_timedelta(request.bucket, "bucket") if request.HasField("bucket") else None,
    )


def stats_to_message(found: Sequence[TriggerStats]) -> calls.GetTriggerStatsResponse:
    """How a workflow's triggers fared."""
    return calls.GetTriggerStatsResponse(types=map(_type_stats, found))


def replay_of(request: calls.ReplayEventsRequest) -> ReplayRequest:
    """Events to be matched again. InvalidArgument for values that cannot be read."""
    return ReplayRequest(
        request.experiment_id,
        timestamp_to_datetime(request.start_time, "start_time") if request.HasField("start_time") else None,
        timestamp_to_datetime(request.end_time, "end_time") if request.HasField("end_time") else None,
        request.workflow_id,
        request.force,
        request.request_id,
        request.dry_run,
    )


def replay_to_message(firings: Sequence[Firing], *, dry_run: bool) -> calls.ReplayEventsResponse:
    """What a replay fired, or would fire: the latter has neither id nor times."""
    answer = calls.ReplayEventsResponse(firings=map(firing_to_message, firings))
    if dry_run:
        for firing in answer.firings:
            for name in ("firing_id", "create_time", "next_attempt_time"):
                firing.ClearField(name)
    return answer


def _type_stats(stats: TriggerStats) -> calls.TriggerTypeStats:
    message = _counted(calls.TriggerTypeStats(trigger_type=stats.trigger_type), stats.total)
    if stats.last_fired_time is not None:
        message.last_fired_time.CopyFrom(datetime_to_timestamp(stats.last_fired_time))
    for start, counts in stats.buckets:
        _counted(message.buckets.add(start_time=datetime_to_timestamp(start)), counts)
    return message


def _counted(message: _Counted, counts: Counts) -> _Counted:
    for name in ("events", "matched", "dispatched", "dead", "runs_failed"):
        setattr(message, name, getattr(counts, name))
    return message
