"""The commands that speak to the ledger, on the contract's real rules in memory."""

import json
from pathlib import Path

import numpy as np
import pytest

from fabric_fl import aggregation
from fabric_fl.cli import main
from fabric_fl.coordinator import watch
from fabric_fl.ledger import FLLedger
from fl_chaincode.hashes import aggregate_digest, proof, result_digest, score_commitment, update_commitment

ORGANISATIONS = ("Org1MSP", "Org2MSP", "Org3MSP")
BUDGET = 90
TASK = """\
schema: 1
id: task-1
trainers: [Org1MSP, Org2MSP, Org3MSP]
validators: [Org1MSP, Org2MSP, Org3MSP]
q: 2
k: 3
min_updates: 2
rounds: 1
patience_s: 30
model: {kind: numpy-mlp, architecture: model.json, loss: log_loss, initial: initial.safetensors}
training: {optimizer: sgd, learning_rate: "0.05", epochs: 1, batch_size: 16}
server: {step: fedavg, learning_rate: "1"}
quantisation: {f: 24, bound: 134217728}
max_examples: 1000
scoring: {rule: leave-one-out}
budget: 90
horizon_rounds: 10
"""


@pytest.fixture
def task_file(tmp_path):
    weights = aggregation.Tensors.in_order([("kernel", np.arange(6, dtype=np.float32).reshape(2, 3))])
    (tmp_path / "initial.safetensors").write_bytes(aggregation.encode(aggregation.ModelBlob(weights)))
    (tmp_path / "model.json").write_text('{"layers":[2,3]}\n')
    path = tmp_path / "task.yaml"
    path.write_text(TASK)
    return path


@pytest.fixture
def created(call, clients, task_file):
    for client in clients.values():
        client.issue("first", "Org1MSP", 100)
    result = call("task", "create", task_file)
    assert result.exit_code == 0, result.stderr
    return clients


AGGREGATE, NONCE = aggregate_digest(b"\0" * 8), "1" * 64


def scores_of(organisation: str) -> dict[str, int]:
    """One millionth for the first two, two for the third, nothing for oneself."""
    return {other: 2 if other == "Org3MSP" else 1 for other in ORGANISATIONS if other != organisation}


def attest_round(clients) -> None:
    """Takes the one round of the task through to three equal attestations."""
    base = clients["Org1MSP"].status("task-1").round.base
    for number, (msp_id, client) in enumerate(clients.items(), start=1):
        commitment = update_commitment("task-1", 1, msp_id, base, 10, f"{number:064x}", "0" * 64)
        client.submit_update("task-1", 1, commitment)
    for number, client in enumerate(clients.values(), start=1):
        client.reveal_update("task-1", 1, digest=f"{number:064x}", size=200, num_examples=10, nonce="0" * 64)
    model, state = "a" * 64, "b" * 64
    for msp_id, client in clients.items():
        attestation = {
            "attempt": 1,
            "version": 1,
            "result": result_digest("task-1", 1, 1, base, ORGANISATIONS, {}, model, state),
            "included": list(ORGANISATIONS),
            "refused": {},
            "model": model,
            "state": state,
            "fetched": [f"{number:064x}" for number in (1, 2, 3)],
            "proof": proof("task-1", 1, 1, msp_id, AGGREGATE),
            "score_commitment": score_commitment("task-1", 1, msp_id, NONCE, scores_of(msp_id), {"loss": 250_000}),
            "openings": [],
        }
        client.attest("task-1", 1, attestation)


def commit_round(clients) -> None:
    clients["Org1MSP"].commit("task-1", 1, AGGREGATE)


def settle_round(clients) -> None:
    for msp_id, client in clients.items():
        client.open_scores("task-1", 1, nonce=NONCE, scores=scores_of(msp_id), metrics={"loss": 250_000})
    clients["Org1MSP"].settle("task-1", 1)


@pytest.fixture
def committed(created):
    attest_round(created)
    commit_round(created)
    return created


@pytest.fixture
def settled(committed):
    settle_round(committed)
    return committed


def test_participants_register_and_are_listed(call, chain):
    chain.client("Org1MSP").init_consortium()

    assert call("participant", "register", "Hospital 2", organisation=2).stdout == "Org2MSP takes part as Hospital 2.\n"

    header, row = call("participant", "list").stdout.splitlines()
    assert header.split() == ["MSP", "ID", "NAME", "STATUS", "ROLES", "DESCRIPTION"]
    assert row.startswith("Org2MSP  Hospital 2  active  ")
    (record,) = json.loads(call("participant", "list", "--format", "json").stdout)
    assert record["name"] == "Hospital 2"


def test_a_refusal_goes_to_stderr_with_code_and_remedy(call, clients):
    result = call("task", "show", "none")

    assert result.exit_code == 1
    assert result.stdout == ""
    sentence, remedy = result.stderr.splitlines()
    assert sentence.startswith("error FL-TASK-UNKNOWN: ")
    assert remedy == "Check the task's id; tasks:List shows what there is."


def test_a_missing_profile_is_named(call, tmp_path):
    result = call("participant", "list", "--profile", tmp_path / "nobody")

    assert result.exit_code == 1
    assert result.stderr.startswith("error FL-PROFILE: ")
    assert "nobody" in result.stderr


def test_creating_a_task_publishes_its_model_and_locks_its_budget(call, created, tmp_path):
    task = json.loads(call("task", "show", "task-1", "--format", "json").stdout)["task"]
    published = (tmp_path / "initial.safetensors").read_bytes()

    assert task["model"]["initial"] == aggregation.digest(published)
    assert task["model"]["size"] == len(published)
    assert task["model"]["architecture"] == '{"layers":[2,3]}'
    assert task["sponsor"] == "Org1MSP"
    assert any(path.read_bytes() == published for path in (tmp_path / "org1" / "blobs").rglob("*") if path.is_file())
    balances = json.loads(call("balances", "--format", "json").stdout)
    held = {"Org1MSP": 10, "Org2MSP": 0, "Org3MSP": 0}
    assert balances == {"balances": held, "escrow": 90, "locked": 0, "supply": 100}
    assert "in escrow  90" in call("balances").stdout


def test_creating_the_same_task_again_changes_nothing(call, created, task_file):
    assert call("task", "create", task_file).stdout == "Task task-1 is open for Org1MSP, Org2MSP, Org3MSP.\n"
    assert created["Org1MSP"].balance("Org1MSP") == 10


def test_a_sponsor_without_tokens_is_refused(call, clients, task_file):
    result = call("task", "create", task_file)

    assert result.exit_code == 1
    assert result.stderr.startswith("error FL-TOKEN-FUNDS: ")


@pytest.mark.parametrize(
    ("change", "line", "complaint"),
    [
        (('learning_rate: "0.05"', "learning_rate: 0.05"), 11, "training.learning_rate: expected text or a whole"),
        (("initial: initial.safetensors", "initial: model.json"), 10, "model.initial: no model blob"),
        (("initial: initial.safetensors", "initial: none"), 10, "model.initial: "),
        (("budget: 90", "budgets: 90"), 16, "budgets: unknown field"),
        (("budget: 90", "budget: [90"), 17, "no YAML"),
        (("loss: log_loss, ", ""), 10, "model: loss missing"),
    ],
)
def test_a_mistake_in_a_task_file_is_named_with_its_line(call, task_file, change, line, complaint):
    assert change[0] in TASK
    task_file.write_text(TASK.replace(*change))

    result = call("task", "create", task_file)

    assert result.exit_code == 1
    assert result.stderr.startswith(f"error FL-TASK-FILE: {task_file}, line {line}: ")
    assert complaint in result.stderr


def test_a_value_that_the_contract_refuses_has_the_contracts_code(call, clients, task_file):
    task_file.write_text(
        TASK.replace("q: 2", "q: 1").replace("budget: 90", "budget: 0").replace("leave-one-out", "none")
    )

    assert call("task", "create", task_file).stderr.startswith("error FL-TASK-QUORUM: ")


def test_tasks_are_listed_with_where_they_stand(call, created):
    header, row = call("task", "list").stdout.splitlines()

    assert header.split() == ["TASK", "STATUS", "MODELS", "SPONSOR", "BUDGET"]
    assert row.split() == ["task-1", "created", "0/1", "Org1MSP", "90"]


def test_a_task_is_shown_field_by_field(call, created):
    shown = call("task", "show", "task-1").stdout

    assert "training        optimizer sgd, learning_rate 0.05, epochs 1, batch_size 16" in shown
    assert "head.status     running" in shown


def test_rounds_are_listed_as_they_stand(call, committed):
    header, row = call("round", "list", "task-1").stdout.splitlines()

    assert header.split()[:3] == ["ROUND", "MODEL", "STATUS"]
    number, j, status, selected, submitted, revealed, quorum, digest, metrics = row.split()
    assert (number, j, status, submitted, revealed, quorum) == ("1", "1", "committed", "3", "3", "3/2")
    assert set(selected.split(",")) == set(ORGANISATIONS)
    assert (digest, metrics) == ("a" * 12, "-")


def test_watching_ends_when_the_task_has_ended_and_every_round_is_settled(call, settled):
    lines = [json.loads(line) for line in call("round", "watch", "task-1", "--format", "json").stdout.splitlines()]

    assert [(line["round"], line["status"], line["metrics"]) for line in lines] == [(1, "committed", {"loss": 250_000})]
    sentence = call("round", "watch", "task-1").stdout
    assert sentence.startswith("round 1 for model 1: committed; selected ")
    assert "3 agree, quorum 2; model aaaaaaaaaaaa; loss 0.2500" in sentence


def test_watching_misses_nothing_that_happens_while_it_looks(created):
    """Each time it has read the status, and before it reads the rounds, the task goes one step on."""
    attest_round(created)
    steps = [lambda: commit_round(created), lambda: settle_round(created)]

    class Ledger(FLLedger):
        def status(self, task):
            found = super().status(task)
            if steps:
                steps.pop(0)()
            return found

    one = created["Org1MSP"]
    seen = list(watch(Ledger(one._contract, one._events), "task-1"))

    assert [(each.status, each.metrics) for each in seen] == [("committed", {}), ("committed", {"loss": 250_000})]


def test_scores_sum_what_the_others_found_and_what_was_paid(call, settled):
    header, *rows = call("scores", "task-1").stdout.splitlines()
    assert header.split() == ["MSP", "ID", "SELECTED", "ACCEPTED", "REFUSED", "MISSED", "SCORE", "PAID"]
    # medians of the others' votes: 1, 1 and 2 millionths; 90 tokens as 1 : 1 : 2, below the cap of twice 30
    assert [(row.split()[0], row.split()[5], row.split()[6]) for row in rows] == [
        ("Org1MSP", "+0.000001", "23"),
        ("Org2MSP", "+0.000001", "22"),
        ("Org3MSP", "+0.000002", "45"),
    ]
    value = json.loads(call("scores", "task-1", "--format", "json").stdout)
    assert value["participants"]["Org3MSP"]["score"] == 2
    assert value["rounds"][0]["settlement"]["share"] == BUDGET


def test_the_latest_model_is_shown_and_the_initial_one_fetched_with_its_digest(call, created, tmp_path):
    target = tmp_path / "model.safetensors"

    shown = json.loads(call("models", "latest", "task-1", "--format", "json").stdout)
    fetched = call("models", "fetch", "task-1", "--out", target, organisation=3)

    assert shown["j"] == 0
    assert fetched.stdout == f"{shown['digest']}  {target}\n"
    assert aggregation.digest(target.read_bytes()) == shown["digest"]


def test_a_model_that_nobody_has_leaves_no_file(call, committed, tmp_path):
    result = call("models", "fetch", "task-1", "--out", tmp_path / "model.safetensors")

    assert result.exit_code == 1
    assert result.stderr.startswith("error FL-BLOB-")
    assert not (tmp_path / "model.safetensors").exists()


def test_tokens_are_issued_by_a_majority_and_transferred_once_a_request(call, clients):
    first = call("tokens", "issue", "Org2MSP", 50, "--request-id", "grant", organisation=1)
    second = call("tokens", "issue", "Org2MSP", 50, "--request-id", "grant", organisation=3)
    assert first.stdout == "50 tokens, agreed by Org1MSP: not issued yet.\n"
    assert second.stdout == "50 tokens, agreed by Org1MSP, Org3MSP: issued to Org2MSP.\n"

    paid = call("tokens", "transfer", "Org1MSP", 20, "--request-id", "rent", organisation=2)
    assert paid.stdout == "20 tokens paid to Org1MSP (request rent).\n"

    balances = json.loads(call("balances", "--format", "json").stdout)["balances"]
    assert balances == {"Org1MSP": 20, "Org2MSP": 30, "Org3MSP": 0}


def test_every_command_answers_for_programs_too():
    def leaves(command, path=()):
        context = main.make_context("fabric-fl", [], resilient_parsing=True)
        if hasattr(command, "list_commands"):
            for name in command.list_commands(context):
                yield from leaves(command.get_command(context, name), (*path, name))
        else:
            yield path, {option for parameter in command.params for option in parameter.opts}

    found = dict(leaves(main))

    assert len(found) >= 20
    # what the processes themselves said is text
    assert [path for path, options in found.items() if "--format" not in options] == [("network", "logs")]


def test_the_task_file_path_may_be_anywhere(call, clients, task_file, monkeypatch, tmp_path):
    monkeypatch.chdir(Path("/"))
    task_file.write_text(TASK.replace("budget: 90", "budget: 0").replace("leave-one-out", "none"))

    assert call("task", "create", task_file).exit_code == 0
