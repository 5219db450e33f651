"""Decoding of a task's specification: validated once, as a whole, before anything is written."""

from typing import Any

from fl_chaincode import args
from fl_chaincode.args import Fields, invalid
from fl_chaincode.canonical import MAX_INTEGER
from fl_chaincode.errors import FLError
from fl_chaincode.specification import (
    RULES,
    STEPS,
    AggregationSpec,
    ModelSpec,
    QuantisationSpec,
    ScoringSpec,
    ServerSpec,
    StopSpec,
    Task,
    TrainingSpec,
)

MAX_ARCHITECTURE = 1024 * 1024  # characters
MAX_BOUND = 2**31 - 1  # a plain blob holds int32
SUM_LIMIT = 2**63  # the aggregate is a signed int64
_INTEGER = args.between(-MAX_INTEGER, MAX_INTEGER)
_PATIENCE = args.between(1, 1_000_000)
_FRACTIONS = ("momentum", "beta_1", "beta_2")  # at 1 and above, the past never fades


def specification(what: str, text: str) -> Task:
    """Decode the argument of tasks:Create; the sponsor is left empty.

    Raises:
        FLError: FL-JSON-INVALID, FL-JSON-FIELD or FL-ARGUMENT-INVALID for a form; FL-TASK-SPEC, FL-TASK-QUORUM or
            FL-TASK-OVERFLOW for values that do not go together.
    """
    with Fields.of(what, text) as fields:
        fields.integer("schema", 1, 1)
        task = Task(
            id=fields.take("id", args.identifier),
            trainers=fields.listed("trainers", args.msp_id, low=1),
            validators=fields.listed("validators", args.msp_id, low=1),
            q=fields.integer("q", 1),
            k=fields.integer("k", 1),
            min_updates=fields.integer("min_updates", 1),
            rounds=fields.integer("rounds", 1, 1_000_000),
            patience_s=fields.integer("patience_s", 1, 10_000_000),
            model=_model(fields.nested("model")),
            training=_training(fields.nested("training")),
            server=_server(fields.nested("server")),
            quantisation=_quantisation(fields.nested("quantisation")),
            max_examples=fields.integer("max_examples", 1),
            aggregation=_aggregation(fields.nested("aggregation")),
            scoring=_scoring(fields.nested("scoring")),
            budget=fields.integer("budget", 0),
            horizon_rounds=fields.integer("horizon_rounds", 1, args.MAX_NUMBER),
            sponsor="",
            purpose=fields.take("purpose", args.nullable(args.identifier)) if "purpose" in fields else None,
            stop=fields.take("stop", args.nullable(_stop)) if "stop" in fields else None,
        )
    _check(task)
    return task


def _check(task: Task) -> None:
    if not len(task.validators) // 2 < task.q <= len(task.validators):
        raise FLError("FL-TASK-QUORUM", f"q = {task.q} is no majority of {len(task.validators)} validators")
    if not task.min_updates <= task.k <= len(task.trainers):
        raise FLError("FL-TASK-SPEC", "min_updates <= k <= the number of trainers must hold")
    if task.k * task.max_examples * task.quantisation.bound >= SUM_LIMIT:
        raise FLError("FL-TASK-OVERFLOW", "k * max_examples * bound must stay below 2^63")
    if task.aggregation.byzantine is not None and not 2 * task.aggregation.byzantine < task.min_updates:
        raise FLError("FL-TASK-SPEC", "2 * byzantine < min_updates must hold: liars are a minority in every round")
    if task.scoring.rule == "none" and task.budget:
        raise FLError("FL-TASK-SPEC", "a task that is not scored pays nobody, so its budget must be 0")
    if task.stop is not None and task.scoring.rule == "none":
        raise FLError("FL-TASK-SPEC", "a task that is not scored opens no metrics, so it cannot have a stop rule")
    if task.stop is not None and task.stop.target is None and task.stop.patience is None:
        raise FLError("FL-TASK-SPEC", "a stop rule has a target, a patience, or both")


def _model(fields: Fields) -> ModelSpec:
    with fields:
        return ModelSpec(
            kind=fields.take("kind", args.identifier),
            architecture=fields.take("architecture", args.text(MAX_ARCHITECTURE)),
            loss=fields.take("loss", args.name),
            initial=fields.take("initial", args.digest),
            size=fields.integer("size", 1),
        )


def _training(fields: Fields) -> TrainingSpec:
    with fields:
        return TrainingSpec(
            optimizer=fields.take("optimizer", args.name),
            learning_rate=fields.take("learning_rate", _rate),
            epochs=fields.integer("epochs", 1, 1_000_000),
            batch_size=fields.integer("batch_size", 1),
        )


def _server(fields: Fields) -> ServerSpec:
    with fields:
        step = fields.take("step", args.one_of(*STEPS))
        rate = fields.take("learning_rate", _rate)
        options = {name: fields.take(name, _fraction if name in _FRACTIONS else args.decimal) for name in STEPS[step]}
    if "epsilon" in options and _zero(options["epsilon"]):
        # Adagrad's preconditioner never shrinks; that of the others can become 0.
        if step != "fedadagrad":
            raise invalid("server.epsilon", "above 0")
        if _zero(options["initial_preconditioner_value"]):
            raise invalid("server.epsilon", "above 0 where initial_preconditioner_value is 0")
    return ServerSpec(step, rate, **options)


def _quantisation(fields: Fields) -> QuantisationSpec:
    with fields:
        return QuantisationSpec(f=fields.integer("f", 0, 52), bound=fields.integer("bound", 1, MAX_BOUND))


def _aggregation(fields: Fields) -> AggregationSpec:
    with fields:
        rule = fields.take("rule", args.one_of(*RULES))
        norm = fields.take("norm", _rate) if "norm" in RULES[rule] else None
        byzantine = fields.integer("byzantine", 1, args.MAX_LIST) if "byzantine" in RULES[rule] else None
    return AggregationSpec(rule, norm, byzantine)


def _scoring(fields: Fields) -> ScoringSpec:
    with fields:
        rule = fields.take("rule", args.one_of("leave-one-out", "none"))
        if "cap_percent" not in fields:
            return ScoringSpec(rule)
        return ScoringSpec(rule, fields.integer("cap_percent", 100, 100_000))


def _stop(what: str, value: Any) -> StopSpec:
    with Fields(what, value) as fields:
        return StopSpec(
            metric=fields.take("metric", args.name),
            direction=fields.take("direction", args.one_of("min", "max")),
            target=fields.take("target", args.nullable(_INTEGER)) if "target" in fields else None,
            patience=fields.take("patience", args.nullable(_PATIENCE)) if "patience" in fields else None,
            min_delta=fields.integer("min_delta", 0) if "min_delta" in fields else 0,
        )


def _rate(what: str, value: Any) -> str:
    rate = args.decimal(what, value)
    if _zero(rate):
        raise invalid(what, "above 0")
    return rate


def _fraction(what: str, value: Any) -> str:
    fraction = args.decimal(what, value)
    if not _zero(fraction.partition(".")[0]):
        raise invalid(what, "below 1")
    return fraction


def _zero(decimal: str) -> bool:
    return not decimal.strip("0.")
