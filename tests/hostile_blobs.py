"""Blobs made to harm, by what is wrong with them, and the code that each is refused with."""

import bz2
import io
import json
import os
import pickle
import zlib

import numpy as np

from fabric_fl.aggregation import MaskedUpdateBlob, ModelBlob, StateBlob, Tensors, UpdateBlob, UpdateHeader, encode

MODEL = ModelBlob(
    Tensors.in_order([("k", np.arange(6, dtype=np.float32).reshape(2, 3)), ("b", np.ones(2, np.float32))])
)
GOOD = encode(MODEL)
UPDATE = encode(
    UpdateBlob(UpdateHeader("t", 1, "Org1MSP", "0" * 64, 5, 24), Tensors.in_order([("k", np.zeros(2, np.int32))]))
)


class Payload:
    def __reduce__(self):
        return os.mkdir, ("/tmp/fabric-fl-was-here",)


def parts(data=GOOD):
    length = int.from_bytes(data[:8], "little")
    return json.loads(data[8 : 8 + length]), data[8 + length :]


def build(header, data):
    text = header if isinstance(header, bytes) else json.dumps(header, sort_keys=True, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + data


def edited(change, data=GOOD):
    header, tail = parts(data)
    change(header)
    return build(header, tail)


def entry(name, **fields):
    return edited(lambda header: header[name].update(fields))


def metadata(data=GOOD, **fields):
    return edited(lambda header: header["__metadata__"].update(fields), data)


def renamed(old, new):
    return edited(lambda header: header.update({new: header.pop(old)}))


def with_value(value):
    return GOOD[:-4] + np.array(value, "<f4").tobytes()


def saved(save, *args, **options):
    file = io.BytesIO()
    save(file, *args, **options)
    return file.getvalue()


LENGTH = int.from_bytes(GOOD[:8], "little")
TEXT = GOOD[8 : 8 + LENGTH].rstrip()
TAIL = GOOD[8 + LENGTH :]

HOSTILE = {
    "empty": (b"", "FL-BLOB-SIZE"),
    "seven bytes": (GOOD[:7], "FL-BLOB-SIZE"),
    "the header alone": (GOOD[: 8 + LENGTH], "FL-BLOB-SIZE"),
    "one byte short": (GOOD[:-1], "FL-BLOB-SIZE"),
    "one trailing byte": (GOOD + b"\0", "FL-BLOB-SIZE"),
    "another blob behind it": (GOOD + GOOD, "FL-BLOB-SIZE"),
    "a header longer than the file": ((1 << 16).to_bytes(8, "little") + GOOD[8:], "FL-BLOB-SIZE"),
    "a header of 10 GiB": ((10 << 30).to_bytes(8, "little") + GOOD[8:], "FL-BLOB-HEADER"),
    "a header of 2^64 - 8": ((2**64 - 8).to_bytes(8, "little") + GOOD[8:], "FL-BLOB-HEADER"),
    "a header of no length": (build(b"", TAIL), "FL-BLOB-HEADER"),
    "a header that is not padded": (len(TEXT).to_bytes(8, "little") + TEXT + TAIL, "FL-BLOB-HEADER"),
    "a header padded twice": (build(TEXT + b" " * 16, TAIL), "FL-BLOB-HEADER"),
    "a header padded with zeros": (build(TEXT + b"\0" * (LENGTH - len(TEXT)), TAIL), "FL-BLOB-HEADER"),
    "a header with spaces": (build(TEXT.replace(b'":', b'": ', 1), TAIL), "FL-BLOB-HEADER"),
    "a header in another order": (
        build(b'{"__metadata__":{"kind":"model","schema":"1"},' + TEXT[1:], TAIL),
        "FL-BLOB-HEADER",
    ),
    "a name twice": (build(b'{"000:k":1,' + TEXT[1:], TAIL), "FL-BLOB-HEADER"),
    "a header that is a list": (build(b"[]", TAIL), "FL-BLOB-HEADER"),
    "a header that is no JSON": (build(b"{" * 8, TAIL), "FL-BLOB-HEADER"),
    "a header nested 100,000 deep": (build(b"[" * 100_000, TAIL), "FL-BLOB-HEADER"),
    "a header that is not ASCII": (build("é".encode() * 4, TAIL), "FL-BLOB-HEADER"),
    "no metadata": (edited(lambda header: header.pop("__metadata__")), "FL-BLOB-HEADER"),
    "metadata with a number": (metadata(schema=1), "FL-BLOB-HEADER"),
    "metadata with a surplus key": (metadata(note="hello"), "FL-BLOB-HEADER"),
    "an unknown kind": (metadata(kind="weights"), "FL-BLOB-HEADER"),
    "an unknown schema": (metadata(schema="2"), "FL-BLOB-HEADER"),
    "no kind": (edited(lambda header: header["__metadata__"].pop("kind")), "FL-BLOB-HEADER"),
    "no tensors": (build({"__metadata__": {"kind": "model", "schema": "1"}}, b""), "FL-BLOB-DTYPE"),
    "a surplus field of a tensor": (entry("000:k", stride=1), "FL-BLOB-HEADER"),
    "a tensor that is a number": (edited(lambda header: header.update({"000:k": 7})), "FL-BLOB-HEADER"),
    "another float type": (entry("000:k", dtype="F64"), "FL-BLOB-DTYPE"),
    "half precision": (entry("000:k", dtype="F16"), "FL-BLOB-DTYPE"),
    "a type that is a list": (entry("000:k", dtype=["F32"]), "FL-BLOB-DTYPE"),
    "integers called a model": (
        edited(lambda h: [h[n].update(dtype="I32") for n in ("000:k", "001:b")]),
        "FL-BLOB-DTYPE",
    ),
    "another shape": (entry("000:k", shape=[3, 3]), "FL-BLOB-HEADER"),
    "a negative length": (entry("000:k", shape=[-2, -3]), "FL-BLOB-SHAPE"),
    "a length of true": (entry("001:b", shape=[2, True]), "FL-BLOB-SHAPE"),
    "a length that is a fraction": (build(TEXT.replace(b"[2,3]", b"[2,3.0]"), TAIL), "FL-BLOB-HEADER"),
    "a length beyond 64 bits": (entry("000:k", shape=[2**70]), "FL-BLOB-HEADER"),
    "a length of a million digits": (build(TEXT.replace(b"[2,3]", b"[" + b"9" * 10**6 + b"]"), TAIL), "FL-BLOB-HEADER"),
    "100,000 axes": (entry("000:k", shape=[9999999999] * 90_000), "FL-BLOB-SHAPE"),
    "40 axes": (entry("000:k", shape=[1] * 40), "FL-BLOB-SHAPE"),
    "a shape whose product wraps": (entry("000:k", shape=[2**32, 2**32], data_offsets=[0, 0]), "FL-BLOB-HEADER"),
    "offsets that overlap": (entry("001:b", data_offsets=[0, 8]), "FL-BLOB-HEADER"),
    "offsets that leave a gap": (entry("001:b", data_offsets=[28, 36]), "FL-BLOB-HEADER"),
    "offsets that run backwards": (entry("001:b", data_offsets=[32, 24]), "FL-BLOB-HEADER"),
    "a path as a name": (renamed("000:k", "../../etc/passwd"), "FL-BLOB-NAMES"),
    "a path as a name that stays in order": (renamed("000:k", "../k"), "FL-BLOB-NAMES"),
    "a name without a number": (renamed("000:k", "00:k"), "FL-BLOB-HEADER"),
    "a number left out": (renamed("001:b", "002:b"), "FL-BLOB-NAMES"),
    "a control character in a name": (renamed("000:k", "000:k\n"), "FL-BLOB-NAMES"),
    "NaN": (with_value(np.nan), "FL-BLOB-NOT-FINITE"),
    "infinity": (with_value(np.inf), "FL-BLOB-NOT-FINITE"),
    "an update with a round of -1": (metadata(UPDATE, round="+1"), "FL-BLOB-HEADER"),
    "an update with a fraction": (metadata(UPDATE, num_examples="5.0"), "FL-BLOB-HEADER"),
    "an update whose number has a leading zero": (metadata(UPDATE, num_examples="05"), "FL-BLOB-HEADER"),
    "an update without a participant": (
        edited(lambda header: header["__metadata__"].pop("participant"), UPDATE),
        "FL-BLOB-HEADER",
    ),
    "a quote in the metadata": (metadata(UPDATE, participant='Org1"MSP'), "FL-BLOB-HEADER"),
    "a pickle": (pickle.dumps(Payload()), "FL-BLOB-HEADER"),
    "a numpy file with a pickle in it": (
        saved(np.save, np.array([Payload()], dtype=object), allow_pickle=True),
        "FL-BLOB-HEADER",
    ),
    "a zip of numpy files": (saved(np.savez, k=np.ones(3)), "FL-BLOB-HEADER"),
    "a compressed bomb": (zlib.compress(bytes(10 << 20)), "FL-BLOB-HEADER"),
    "a Keras file's first bytes": (b"\x89HDF\r\n\x1a\n" + bytes(200), "FL-BLOB-HEADER"),
    "gzip": (b"\x1f\x8b\x08" + bytes(200), "FL-BLOB-HEADER"),
}

STATE = encode(StateBlob({"m": MODEL.tensors.astype(np.float64), "w": MODEL.tensors.astype(np.float64)}))
MASKED = encode(
    MaskedUpdateBlob(UpdateHeader("t", 1, "Org1MSP", "0" * 64, 5, 24), Tensors.in_order([("k", np.zeros(2, np.int64))]))
)


def slots_renamed(old, new):
    """A state whose slot has another name; its header is canonical, because the order stays."""
    header, tail = parts(STATE)
    return build({name.replace(f"{old}/", f"{new}/"): entry for name, entry in header.items()}, tail)


HOSTILE |= {
    "a length in big-endian": (LENGTH.to_bytes(8, "big") + GOOD[8:], "FL-BLOB-HEADER"),
    "a type in big-endian": (entry("000:k", dtype=">f4"), "FL-BLOB-DTYPE"),
    "a type of objects": (entry("000:k", dtype="O"), "FL-BLOB-DTYPE"),
    "a byte order in the metadata": (metadata(byteorder="big"), "FL-BLOB-HEADER"),
    "a byte order mark": (build(b"\xef\xbb\xbf" + TEXT, TAIL), "FL-BLOB-HEADER"),
    "UTF-16": (build(TEXT.decode().encode("utf-16"), TAIL), "FL-BLOB-HEADER"),
    "a name escaped": (build(TEXT.replace(b'"000:k"', b'"\\u0030\\u0030\\u0030:k"'), TAIL), "FL-BLOB-HEADER"),
    "a length of -0": (build(TEXT.replace(b"[2,3]", b"[2,3,-0]"), TAIL), "FL-BLOB-HEADER"),
    "a length of Infinity": (build(TEXT.replace(b"[2,3]", b"[2,Infinity]"), TAIL), "FL-BLOB-HEADER"),
    "a shape that is text": (entry("000:k", shape="23"), "FL-BLOB-SHAPE"),
    "an absolute path as a name": (renamed("000:k", "/etc/passwd"), "FL-BLOB-NAMES"),
    "a name of 300 characters": (renamed("000:k", "000:" + "k" * 300), "FL-BLOB-NAMES"),
    "an empty name": (renamed("000:k", ""), "FL-BLOB-NAMES"),
    "minus infinity": (with_value(-np.inf), "FL-BLOB-NOT-FINITE"),
    "a NaN with a payload": (GOOD[:-4] + (0x7F800001).to_bytes(4, "little"), "FL-BLOB-NOT-FINITE"),
    "a state with a NaN": (STATE[:-8] + np.array(np.nan, "<f8").tobytes(), "FL-BLOB-NOT-FINITE"),
    "a state without weights": (slots_renamed("w", "x"), "FL-BLOB-NAMES"),
    "a state with a path as a slot": (slots_renamed("m", "../m"), "FL-BLOB-NAMES"),
    "a state called a model": (metadata(STATE, kind="model"), "FL-BLOB-NAMES"),
    "a masked update called plain": (metadata(MASKED, kind="update"), "FL-BLOB-DTYPE"),
    "a masked update without a base": (
        edited(lambda header: header["__metadata__"].pop("base"), MASKED),
        "FL-BLOB-HEADER",
    ),
    "bzip2": (bz2.compress(bytes(10 << 20)), "FL-BLOB-HEADER"),
    "an ELF program": (b"\x7fELF\x02\x01\x01" + bytes(200), "FL-BLOB-HEADER"),
    "a script": (b"#!/bin/sh\nmkdir /tmp/fabric-fl-was-here\n", "FL-BLOB-HEADER"),
    "20 MiB of zeros": (bytes(20 << 20), "FL-BLOB-HEADER"),
}
