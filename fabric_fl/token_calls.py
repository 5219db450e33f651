"""The contract's tokens: unspent entries, allowances, the supply."""

from __future__ import annotations

from collections.abc import Iterable

from fabric_fl.calls import ContractCalls, decoded
from fl_chaincode.records import Approval, Entry, Issue, Spending, Transfer


class TokenCalls(ContractCalls):
    """tokens:*. A request_id makes a call repeatable: the same one with the same content acts once."""

    def issue(self, request_id: str, to: str, amount: int) -> Issue:
        """Vote for tokens to be made; they are when a majority of the consortium has."""
        return self._write(Issue, "tokens:Issue", {"request_id": request_id, "to": to, "amount": amount})

    def transfer(self, request_id: str, inputs: Iterable[str], to: str, amount: int) -> Transfer:
        fields = {"request_id": request_id, "inputs": list(inputs), "to": to, "amount": amount}
        return self._write(Transfer, "tokens:Transfer", fields)

    def approve(self, request_id: str, spender: str, amount: int, *, expected: int) -> Approval:
        """Let a spender pay `amount` from the caller's entries, instead of the allowance `expected` that it has now."""
        fields = {"request_id": request_id, "spender": spender, "expected": expected, "amount": amount}
        return self._write(Approval, "tokens:Approve", fields)

    def transfer_from(self, request_id: str, owner: str, inputs: Iterable[str], to: str, amount: int) -> Spending:
        """Pay from the entries of an owner that has allowed it."""
        fields = {"request_id": request_id, "owner": owner, "inputs": list(inputs), "to": to, "amount": amount}
        return self._write(Spending, "tokens:TransferFrom", fields)

    def allowance(self, owner: str, spender: str) -> int:
        return int(decoded(self._evaluate("tokens:Allowance", owner, spender))["amount"])

    def balance(self, msp_id: str) -> int:
        return int(decoded(self._evaluate("tokens:BalanceOf", msp_id))["balance"])

    def entries(self, msp_id: str) -> tuple[Entry, ...]:
        """Return the unspent entries, whose ids a transfer names."""
        return self._list(Entry.from_json, "tokens:Entries", msp_id)

    def supply(self) -> int:
        return int(decoded(self._evaluate("tokens:TotalSupply"))["supply"])
