"""A hospital's training job, started as `python train.py .network/org1 cancer hospital-1.npz`."""

import sys

import numpy as np

from fabric_fl import Participant
from fabric_fl.learning import TFFTrainer

profile, task, path = sys.argv[1:]
data = np.load(path)
trainer = TFFTrainer((data["x"], data["y"]), holdout=(data["x_holdout"], data["y_holdout"]))

with Participant.connect(profile, trainer=trainer) as me:
    model = me.run(task)  # trains when selected, validates always, until the task has ended
    print(f"{me.msp_id}: model {model.number}, {model.digest}")
    print(f"on data that only {me.msp_id} has: {me.evaluate(model)}")
