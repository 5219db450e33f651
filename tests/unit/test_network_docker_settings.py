"""Every setting that a node has natively it has in Docker: both renderings are read back and compared.

The native one is supervisord.conf and the configuration files that it leads to; the other is compose.yaml and the files
that its mounts lead to. Each is made into one dictionary of what a node effectively runs with.
"""

import configparser
import json
import re
import shlex
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from fabric_fl.network import Address, Batch, Consortium, Plan, Versions
from fabric_fl.network.docker import composefile
from fabric_fl.network.engine import FABRIC_PROGRAMS
from fabric_fl.network.fabric.engine import FabricEngine
from fabric_fl.network.home import Home
from fabric_fl.network.supervisorconf import render

CHAINCODE = Path(__file__).parents[2] / "chaincode"

# What only one of the two has, and why.
ONLY_NATIVE = {
    "autostart": "supervisord's word for being started at all",
    "startsecs": "how long supervisord waits until it calls a program started; Docker calls it so at once",
    "startretries": "Docker tries for ever, with its own back-off",
    "stopasgroup": "a container ends with its first process",
    "killasgroup": "a container ends with its first process",
    "redirect_stderr": "Docker keeps both streams in one log",
    "log": "Docker keeps logs where its engine does; `network logs` prints them",
}
ONLY_IN_DOCKER = {
    "image": "natively, the program that is installed",
    "build": "natively, the chaincode package that is installed",
    "user": "natively, whoever calls `network up`; here the same must be said",
    "network_mode": "natively there is no other network than the host's",
    "volumes": "natively a program sees every file of its user",
    "read_only": "natively the file system is the user's",
    "tmpfs": "a container's file system is read-only",
    "cap_drop": "natively a user has no capabilities",
    "security_opt": "natively nothing keeps a program from running a set-uid one",
    "healthcheck": "natively `network status` and supervisord look themselves",
}
# What is said in different words and means the same.
IN_OTHER_WORDS = {
    ("command", "python -m fl_chaincode"): "fl-chaincode",  # the same entry point, by the image's script
}


def with_everything() -> Consortium:
    """Three orderers, two peers of an organisation, host names, a signature policy, batches and versions."""
    consortium = Consortium.default(2)
    first, second = consortium.organisations
    return replace(
        consortium,
        orderers=tuple(Address("orderer.example", port) for port in (7050, 8050, 9050)),
        organisations=(
            replace(first, peers=(Address("peer.org1.example", 7051), Address("peer.org1.example", 7151))),
            replace(second, ca=Address("ca.org2.example", 7064)),
        ),
        endorsement="AND('Org1MSP.peer', 'Org2MSP.peer')",
        batch=Batch(7, 4096, 2048, 250),
        fabric=Versions("2.5.12", "1.5.15"),
    )


def with_orderers_of_its_own() -> Consortium:
    consortium = Consortium.default(1)
    (one,) = consortium.organisations
    return replace(consortium, orderers=(), organisations=(replace(one, orderers=(Address("localhost", 7050),)),))


@pytest.fixture(params=[Consortium.default, with_everything, with_orderers_of_its_own], ids=lambda make: make.__name__)
def renderings(request, tmp_path):
    """The effective settings of every node, natively and in Docker."""
    home = Home.at(tmp_path / "home")
    home.root.mkdir()
    plan = Plan("fabric", request.param())
    binaries = {name: tmp_path / "bin" / name for name in FABRIC_PROGRAMS}
    text = render(home, FabricEngine(binaries).programs(plan, home))
    native = {name: natively(section, home.root) for name, section in programs_of(text).items()}
    # the second rendering must write its configuration itself; ports and secrets are chosen once
    for path in [*home.root.rglob("*.yaml"), home.root / "fabric" / "ccaas_builder"]:
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    text = composefile.render(home, FabricEngine({}, "docker").programs(plan, home))
    contained = {name: in_docker(service) for name, service in yaml.safe_load(text)["services"].items()}
    return home, native, contained


def programs_of(text: str) -> dict[str, configparser.SectionProxy]:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(text)
    return {name.removeprefix("program:"): parser[name] for name in parser.sections() if name.startswith("program:")}


def natively(section: configparser.SectionProxy, directory: Path) -> dict[str, object]:
    said = {name: value.replace("%%", "%") for name, value in section.items()}
    program, *arguments = shlex.split(said.pop("command"))
    environment = dict(re.findall(r'(\w+)="([^"]*)"', said.pop("environment")))
    return {
        **settings(Path(program).name, arguments, environment, lambda path: directory / path),
        "started again when it ends": said.pop("autorestart") == "true",
        "stop signal": f"SIG{said.pop('stopsignal')}",
        "seconds to stop": int(said.pop("stopwaitsecs")),
        "bytes of a log": int(said.pop("stdout_logfile_maxbytes").removesuffix("MB")) * 1024 * 1024,
        "logs kept": int(said.pop("stdout_logfile_backups")) + 1,
        "log": said.pop("stdout_logfile"),
        **said,
    }


def in_docker(service: dict) -> dict[str, object]:
    said = json.loads(json.dumps(service).replace("$$", "$"))
    entrypoint = re.search(r'^ENTRYPOINT \["(.*)"\]$', (CHAINCODE / "Dockerfile").read_text(), re.M)
    program, *arguments = said.pop("command", None) or [entrypoint[1]]
    directory = Path(said.pop("working_dir"))
    mounts = {mount["target"]: Path(mount["source"]) for mount in said["volumes"]}

    def outside(path: str) -> Path:
        """Where a file that the container reads lies on the host; it must be in a mount."""
        inside = directory / path
        target = max((one for one in mounts if inside.is_relative_to(one)), key=len)
        return mounts[target] / inside.relative_to(target)

    logging = said.pop("logging")["options"]
    return {
        **settings(Path(program).name, arguments, said.pop("environment"), outside),
        "started again when it ends": said.pop("restart") == "unless-stopped",
        "stop signal": said.pop("stop_signal"),
        "seconds to stop": int(said.pop("stop_grace_period").removesuffix("s")),
        "bytes of a log": int(logging["max-size"].removesuffix("m")) * 1024 * 1024,
        "logs kept": int(logging["max-file"]),
        **said,
    }


def settings(program, arguments, environment, where) -> dict[str, object]:
    """Returns a node's settings: those of its file, overruled by its environment, as Fabric reads them."""
    command = " ".join(["python" if program.startswith("python") else program, *arguments])
    environment = dict(environment)
    effective: dict[str, object] = {"command": command}
    prefix = {"peer": "CORE", "orderer": "ORDERER", "fabric-ca-server": "FABRIC_CA_SERVER"}.get(program)
    if prefix is not None:
        file = {"peer": "core.yaml", "orderer": "orderer.yaml"}.get(program, "fabric-ca-server-config.yaml")
        folder = environment["FABRIC_CFG_PATH"] if prefix != "FABRIC_CA_SERVER" else arguments[-1]
        effective |= flat(yaml.safe_load((where(folder) / file).read_text()))
        for name in [name for name in environment if name.startswith(f"{prefix}_")]:
            effective[name.removeprefix(f"{prefix}_").replace("_", ".").lower()] = environment.pop(name)
    return effective | {f"${name}": value for name, value in environment.items()}


def flat(value: object, path: str = "") -> dict[str, object]:
    if not isinstance(value, dict):
        return {path.lower(): value}
    return {key: one for name, inner in value.items() for key, one in flat(inner, f"{path}.{name}".strip(".")).items()}


def test_both_renderings_agree_on_every_setting_that_both_have(renderings):
    _, native, contained = renderings

    assert list(native) == list(contained)
    for node, own in native.items():
        for name in own.keys() & contained[node].keys():
            expected = IN_OTHER_WORDS.get((name, str(own[name])), own[name])
            assert contained[node][name] == expected, (node, name)


def test_a_setting_that_only_one_has_is_in_the_table_with_its_reason(renderings):
    _, native, contained = renderings

    only_native = {name for node, own in native.items() for name in own.keys() - contained[node].keys()}
    only_in_docker = {name for node, own in contained.items() for name in own.keys() - native[node].keys()}
    assert only_native == set(ONLY_NATIVE)
    assert only_in_docker == set(ONLY_IN_DOCKER)


def test_the_comparison_is_about_everything_that_fabric_is_told(renderings):
    _, native, _ = renderings

    first_orderer = next(name for name in native if re.match(r"orderer\d", name))
    peer, orderer, authority = (native[name] for name in ("peer0-org1", first_orderer, "ca-org1"))
    assert (peer["peer.tls.enabled"], orderer["general.bootstrapmethod"]) == (True, "none")
    assert authority["operations.listenaddress"].startswith("127.0.0.1:")
    assert native["fl-org1"]["$CHAINCODE_TLS_DISABLED"] == "false"
    assert [len(one) > least for one, least in ((peer, 90), (orderer, 40), (authority, 30))] == [True] * 3


def test_every_path_that_a_setting_names_is_mounted_and_what_is_written_may_be(renderings):
    home, _, contained = renderings

    written = re.compile(r"filesystempath|rootdir|location|waldir|snapdir")
    for node, own in contained.items():
        mounts = {mount["target"]: mount for mount in own["volumes"]}
        for name, value in own.items():
            if name.startswith("$") and str(value).startswith("fabric/"):
                value = str(home.root / value)  # noqa: PLW2901 -- relative to the working directory
            if not str(value).startswith(f"{home.root}/"):
                continue
            around = [target for target in mounts if Path(value).is_relative_to(target)]
            assert around, (node, name, value)
            is_read_only = mounts[max(around, key=len)].get("read_only", False)
            assert is_read_only != bool(written.search(name)), (node, name, value)
