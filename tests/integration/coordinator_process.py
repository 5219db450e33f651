"""Registers an organisation and, where a task is named, publishes its model and creates it.

python coordinator_process.py ORGANISATION_FOLDER [TASK]
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent))

from organisations import task_specification

from fabric_fl.blobs import BlobStore
from fabric_fl.fabric.profile import ConnectionProfile
from fabric_fl.gateway import connect
from fabric_fl.ledger import FLLedger

folder = Path(sys.argv[1])
with connect(folder) as gateway:
    ledger = FLLedger.on(gateway.network("fl"))
    profile = ConnectionProfile.load(folder)
    ledger.register(profile.msp_id)
    for task in sys.argv[2:]:
        store = BlobStore(profile.participant.store)
        spec = task_specification(folder, store, id=task, rounds=2, k=3, min_updates=3, patience_s=30, budget=0)
        spec["scoring"] = {"rule": "leave-one-out", "cap_percent": 200}
        ledger.create_task(spec)
