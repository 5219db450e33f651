"""The hashes of PROTOCOL.md §2, against the same hashes written out by hand."""

import hashlib
import json

from contract_scenario import ORG1, ORG2

from fl_chaincode import hashes


def by_hand(*fields: str | bytes) -> str:
    data = b""
    for field in fields:
        part = field if isinstance(field, bytes) else field.encode()
        data += len(part).to_bytes(8, "big") + part
    return hashlib.sha256(data).hexdigest()


DIGEST, NONCE, BASE = "d" * 64, "0" * 64, "b" * 64


def test_an_update_is_committed_to_with_all_that_identifies_it():
    expected = by_hand("fl/update/v1", "t1", "3", ORG1, BASE, "426", DIGEST, NONCE)
    assert hashes.update_commitment("t1", 3, ORG1, BASE, 426, DIGEST, NONCE) == expected


def test_a_result_is_the_hash_of_its_canonical_json_whatever_the_order_of_the_included():
    value = '{"attempt":1,"base":"' + BASE + '","included":["Org1MSP","Org2MSP"],"model":"m",'
    value += '"refused":{"Org3MSP":"FL-NAN"},"round":3,"state":"s","task":"t1"}'
    assert json.loads(value)["refused"] == {"Org3MSP": "FL-NAN"}
    expected = by_hand("fl/result/v1", value)
    for included in ([ORG1, ORG2], [ORG2, ORG1]):
        assert hashes.result_digest("t1", 3, 1, BASE, included, {"Org3MSP": "FL-NAN"}, "m", "s") == expected


def test_the_aggregate_is_hashed_as_little_endian_signed_64_bit_integers():
    total = (-1).to_bytes(8, "little", signed=True) + (258).to_bytes(8, "little", signed=True)
    assert total == b"\xff" * 8 + b"\x02\x01\0\0\0\0\0\0"
    assert hashes.aggregate_digest(total) == by_hand("fl/aggregate/v1", total)


def test_a_proof_binds_the_aggregate_to_one_organisation_and_attempt():
    expected = by_hand("fl/proof/v1", "t1", "3", "2", ORG1, DIGEST)
    assert hashes.proof("t1", 3, 2, ORG1, DIGEST) == expected
    others = [hashes.proof("t1", 3, 2, ORG2, DIGEST), hashes.proof("t1", 3, 1, ORG1, DIGEST)]
    assert expected not in others


def test_scores_are_committed_to_together_with_the_metrics():
    value = '{"metrics":{"loss":693147},"scores":{"Org1MSP":-5,"Org2MSP":12}}'
    expected = by_hand("fl/score/v1", "t1", "3", ORG1, NONCE, value)
    assert hashes.score_commitment("t1", 3, ORG1, NONCE, {ORG2: 12, ORG1: -5}, {"loss": 693147}) == expected


def test_the_selection_rank_depends_on_the_model_before():
    assert hashes.selection_rank("t1", 3, BASE, ORG1) == by_hand("fl/select/v1", "t1", "3", BASE, ORG1)
