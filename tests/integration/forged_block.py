"""What a dishonest founder would send: its part with a first block of another consortium.yaml than was agreed on.

python forged_block.py OTHER_CONSORTIUM_YAML SHARED_FILE
"""

from __future__ import annotations

import base64
import json
import os
import sys
from pathlib import Path

from fabric_fl.network.consortiumfile import load_consortium
from fabric_fl.network.engine import FABRIC_PROGRAMS, find_program
from fabric_fl.network.fabric.channel import make_genesis
from fabric_fl.network.fabric.layout import Layout
from fabric_fl.network.fabric.tools import Tools
from fabric_fl.network.fabric.topology import Topology, settle_ports
from fabric_fl.network.home import Home

consortium = load_consortium(Path(sys.argv[1]))
document = json.loads(Path(sys.argv[2]).read_text())
layout = Layout.of(Home.at(".network"))
tools = Tools({name: path for name in FABRIC_PROGRAMS if (path := find_program(name, os.environ))})
topology = Topology.of(consortium, settle_ports(layout, consortium))
make_genesis(tools, consortium, topology, layout, Path("forged.block"))
document["genesis"] = base64.b64encode(Path("forged.block").read_bytes()).decode()
print(json.dumps(document))
