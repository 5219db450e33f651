"""`fabric-fl`: results go to stdout, everything else to stderr."""

from __future__ import annotations

import click

from fabric_fl.cli.lazy import LazyGroup

_COMMANDS = {
    "network": ("fabric_fl.cli.network:network", "Start, show and end a network to run on."),
    "channel": ("fabric_fl.cli.channel:channel", "Propose a change of the channel: members, certificates."),
    "doctor": ("fabric_fl.cli.doctor:doctor", "Find out what is the matter with a network, and the remedy."),
    "enroll": ("fabric_fl.cli.enroll:enroll", "Get a certificate from a Fabric CA."),
    "consortium": ("fabric_fl.cli.consortium:consortium", "Show the consortium, vote for motions."),
    "participant": (
        "fabric_fl.cli.participant:participant",
        "Register, declare data, take part, list who takes part.",
    ),
    "task": ("fabric_fl.cli.task:task", "Create, list, show and cancel tasks, elect their validators."),
    "round": ("fabric_fl.cli.round:round_", "List and watch a task's rounds."),
    "models": ("fabric_fl.cli.models:models", "Show, fetch and export committed models."),
    "scores": ("fabric_fl.cli.scores:scores", "Show what each participant contributed to a task."),
    "balances": ("fabric_fl.cli.tokens:balances", "Show each participant's tokens."),
    "tokens": ("fabric_fl.cli.tokens:tokens", "Issue and transfer tokens, let others spend them."),
    "prices": ("fabric_fl.cli.prices:prices", "Publish and show what compute costs."),
    "orders": ("fabric_fl.cli.orders:orders", "Order compute and pay for it."),
    "market": ("fabric_fl.cli.market:market", "Offer tokens for money, take offers, show what was traded."),
    "ledger": ("fabric_fl.cli.ledger:ledger", "Read any record, all of a kind, or a record's history."),
    "audit": ("fabric_fl.cli.audit:audit", "Recompute a task's rounds from ledger and blobs alone."),
}


@click.group(
    cls=LazyGroup,
    lazy=_COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Federated learning whose global model is a ledger fact.",
)
@click.version_option(package_name="fabric-fl")
@click.option("-v", "--verbose", is_flag=True, help="Log to stderr what happens.")
def main(verbose: bool) -> None:
    import logging

    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(asctime)s %(name)s %(levelname)s %(message)s")
