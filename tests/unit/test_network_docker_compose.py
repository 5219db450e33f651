"""What Docker is asked, in which order, and what is made of its answers; a stand-in answers, no container runs."""

import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import check_jsonschema
import pytest
import yaml
from docker_programs import put_on_path

from fabric_fl import network
from fabric_fl.network import Consortium, DockerError, EngineError, NoNetworkError, Plan, Versions
from fabric_fl.network.docker.compose import Compose
from fabric_fl.network.docker.composefile import project, render
from fabric_fl.network.doctor import examine
from fabric_fl.network.engine import CLIENT_PROGRAMS, choose_engine
from fabric_fl.network.fabric.containers import chaincode_image
from fabric_fl.network.fabric.engine import FabricEngine
from fabric_fl.network.home import Home
from fabric_fl.network.plan import keep, load, settle
from fabric_fl.network.runner import runner_of
from fabric_fl.network.supervision import Supervisor

ROOT = Path(__file__).parents[2]


@pytest.fixture
def home(tmp_path):
    place = Home.at(tmp_path / "home")
    place.root.mkdir()
    return place


@pytest.fixture
def docker(tmp_path, monkeypatch):
    stand_in = put_on_path(tmp_path / "docker", monkeypatch)
    stand_in.mark("still")
    return stand_in


@pytest.fixture
def programs(home):
    engine = FabricEngine({}, "docker")
    return engine.programs(Plan("fabric", replace(Consortium.default(2), fabric=Versions("2.5.12", "1.5.15"))), home)


def lay_what_enrolment_lays(home):
    for organisation in ("org1", "org2"):
        for part in ("server", "connections"):
            (home.root / "fabric" / "chaincode" / organisation / part).mkdir(parents=True)


def services(home, programs):
    return yaml.safe_load(render(home, programs))["services"]


def test_the_images_are_the_official_ones_of_the_consortiums_version_and_the_contracts_own(home, programs):
    images = {name: one["image"] for name, one in services(home, programs).items()}

    assert images == {
        **dict.fromkeys(("ca-org1", "ca-org2", "orderer-ca"), "hyperledger/fabric-ca:1.5.15"),
        "orderer1": "hyperledger/fabric-orderer:2.5.12",
        **dict.fromkeys(("peer0-org1", "peer0-org2"), "hyperledger/fabric-peer:2.5.12"),
        **dict.fromkeys(("fl-org1", "fl-org2"), chaincode_image()),
    }


def test_the_contracts_image_is_built_from_the_dockerfile_beside_its_source(home, programs):
    built = {name: one["build"] for name, one in services(home, programs).items() if "build" in one}

    assert built == {key: {"context": str(ROOT / "chaincode")} for key in ("fl-org1", "fl-org2")}
    lines = (ROOT / "chaincode" / "Dockerfile").read_text().splitlines()
    assert len([line for line in lines if line.startswith("FROM ")]) == 2, "what builds it stays out of it"
    (user,) = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert "0" not in user.split(":")


def test_every_image_of_the_contract_has_the_libraries_of_the_lock_file():
    command = ["export", "--frozen", "--quiet", "--package", "fabric-fl-chaincode", "--no-emit-workspace", "--no-dev"]
    uv = Path(sys.executable).with_name("uv")
    locked = subprocess.run(
        [uv, *command, "--no-header", "--no-annotate"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    shipped = (ROOT / "chaincode" / "requirements.txt").read_text()
    assert shipped.partition("\n")[2] == locked, f"uv {' '.join(command)}"


def test_no_container_is_roots_or_may_become_it_and_each_writes_to_its_own_directories_alone(home, programs):
    writes = {}
    for name, one in services(home, programs).items():
        assert one["user"] == f"{os.getuid()}:{os.getgid()}"
        assert (one["read_only"], one["cap_drop"], one["security_opt"]) == (True, ["ALL"], ["no-new-privileges:true"])
        assert not {"privileged", "cap_add", "devices", "pid", "ipc"} & set(one)
        assert all(mount["type"] == "bind" and mount["source"] == mount["target"] for mount in one["volumes"])
        writes[name] = [m["source"].removeprefix(f"{home.root}/") for m in one["volumes"] if not m.get("read_only")]

    assert writes == {
        **{name: [f"fabric/{name}"] for name in ("ca-org1", "ca-org2", "orderer-ca")},
        "orderer1": ["fabric/orderer1/data"],
        **{name: [f"fabric/{name}/data", f"fabric/{name}/snapshots"] for name in ("peer0-org1", "peer0-org2")},
        **{key: [] for key in ("fl-org1", "fl-org2")},
    }


def test_no_container_sees_a_key_of_another(home, programs):
    seen = {
        name: {mount["source"].removeprefix(f"{home.root}/fabric/") for mount in one["volumes"]}
        for name, one in services(home, programs).items()
    }

    assert seen["fl-org1"] == {"chaincode/org1/server"}
    assert seen["peer0-org1"] & seen["peer0-org2"] == {"ccaas_builder"}
    own = [one for name, one in seen.items() if name != "fl-org1"]
    assert not any("chaincode/org1/server" in one for one in own)


def test_no_secret_stands_in_compose_yaml(home, programs):
    text = render(home, programs)

    secrets = [path.read_text() for path in home.root.glob("fabric/*/secrets/*")]
    assert len(secrets) == 3
    assert not any(one in text for one in secrets)
    assert "PRIVATE KEY" not in text


def test_every_container_has_a_healthcheck_that_its_image_can_run(home, programs):
    for name, one in services(home, programs).items():
        command = one["healthcheck"]["test"]
        # ubuntu and python images: bash and python, no curl
        assert command[:2] in (["CMD", "bash"], ["CMD", "/opt/chaincode/bin/python"]), name


def test_compose_yaml_is_valid_by_the_specifications_schema(home, programs, tmp_path):
    path = tmp_path / "compose.yaml"
    path.write_text(render(home, programs))

    with pytest.raises(SystemExit) as ended:
        check_jsonschema.main(["--builtin-schema", "vendor.compose-spec", str(path)])
    assert ended.value.code in (0, None)


def test_a_dollar_sign_is_no_variable_to_compose(home, programs):
    odd = replace(programs[0], environment={"FABRIC_LOGGING_FORMAT": "%{message} $HOME"})

    (one,) = services(home, [odd]).values()

    assert one["environment"] == {"FABRIC_LOGGING_FORMAT": "%{message} $$HOME"}


def test_images_are_looked_for_then_pulled_or_built_once(home, programs, docker):
    told = []
    runner = Compose(home)

    runner.prepare(programs, told.append)
    calls = docker.calls()
    runner.prepare(programs, told.append)

    assert calls[:2] == [["info", "--format", "{{.ServerVersion}}"], ["compose", "version", "--short"]]
    wanted = ["hyperledger/fabric-ca:1.5.15", "hyperledger/fabric-orderer:2.5.12", "hyperledger/fabric-peer:2.5.12"]
    pulled = [call for image in wanted for call in (["image", "inspect", image], ["pull", "--quiet", image])]
    own = ["image", "inspect", chaincode_image()]
    built = ["build", "--tag", chaincode_image(), str(ROOT / "chaincode")]
    assert calls[2:] == [*pulled, own, built]
    assert [call[0] for call in docker.calls()[len(calls) :]] == ["image"] * 4
    assert len(told) == 4


def test_a_contract_without_a_dockerfile_beside_it_is_refused_with_the_command_that_builds_it(home, programs, docker):
    alone = [replace(one, container=replace(one.container, build=None)) for one in programs if one.name == "fl-org1"]

    with pytest.raises(DockerError) as refused:
        Compose(home).prepare(alone, print)
    assert f"docker build --tag {chaincode_image()} chaincode" in refused.value.remedy


def test_up_a_second_up_restart_and_down_are_composes_own(home, programs, docker):
    lay_what_enrolment_lays(home)
    runner = Compose(home)
    runner.prepare(programs, print)
    assert not runner.is_running()
    docker.forget()

    runner.run(programs)
    runner.run(programs)
    runner.restart("peer0-org1")
    runner.shutdown()

    words = ["compose", "--project-name", project(home), "--file", str(home.root / "compose.yaml")]
    up = [*words, "up", "--detach", "--no-build", "--remove-orphans"]
    acts = [call for call in docker.calls() if call[0] == "compose"]
    assert acts == [
        up,
        up,
        [*words, "restart", "--timeout", "10", "peer0-org1"],
        [*words, "down", "--timeout", "10", "--remove-orphans"],
    ]
    assert stat.S_IMODE((home.root / "compose.yaml").stat().st_mode) == 0o600
    assert stat.S_IMODE((home.root / "fabric" / "orderer1" / "data").stat().st_mode) == 0o700
    assert not runner.is_running()


def test_what_runs_is_shown_in_the_same_words_as_without_docker(home, programs, docker):
    lay_what_enrolment_lays(home)
    runner = Compose(home)
    runner.prepare(programs, print)
    runner.run(programs)
    path = docker.place / "containers.json"
    found = json.loads(path.read_text())
    found["orderer1"] |= {"status": "restarting", "pid": 2**22 + 1}
    path.write_text(json.dumps(found))
    (docker.place / "orderer1.log").write_text("starting\npanic: no such directory\n")

    shown = {one.name: one for one in runner.processes()}

    assert shown["peer0-org2"].state == "RUNNING"
    assert shown["peer0-org2"].detail == "running, healthy"
    assert shown["peer0-org2"].uptime_s < 60
    assert shown["orderer1"].state == "BACKOFF"
    assert runner.what_cannot_start() == "orderer1 ended as soon as it was started: panic: no such directory"


def test_logs_are_composes_and_an_unknown_name_is_refused(home, programs, docker):
    lay_what_enrolment_lays(home)
    runner = Compose(home)
    runner.prepare(programs, print)
    runner.run(programs)

    command = runner.log_command("fl-org1", 7, follow=True)

    assert command[1:3] == ["compose", "--project-name"]
    assert command[6:] == ["logs", "--no-color", "--tail", "7", "--follow", "fl-org1"]
    with pytest.raises(NoNetworkError, match="there is no log of fl-org9"):
        runner.log_command("fl-org9", 7, follow=False)
    with pytest.raises(NoNetworkError, match="there is no program fl-org9: known are ca-org1, "):
        runner.restart("fl-org9")


def clients(folder):
    folder.mkdir()
    for name in CLIENT_PROGRAMS:
        (folder / name).write_text("#!/bin/sh\n")
        (folder / name).chmod(0o755)
    return {"FABRIC_BIN": str(folder), "PATH": os.environ["PATH"], "FABRIC_RUNTIME": "docker"}


def test_docker_is_taken_where_it_is_asked_for_and_answers(docker, tmp_path):
    engine, notice = choose_engine(None, clients(tmp_path / "fabric"))

    assert (engine.name, engine.runtime) == ("fabric", "docker")
    assert notice.startswith("Hyperledger Fabric in Docker's containers, ")


def test_a_docker_that_does_not_answer_is_an_error_and_never_devnet(docker, tmp_path):
    docker.mark("silent")

    with pytest.raises(DockerError, match="docker info: Cannot connect to the Docker daemon") as refused:
        choose_engine(None, clients(tmp_path / "fabric"))
    assert "FABRIC_RUNTIME" in refused.value.remedy


def test_a_docker_without_compose_is_named(docker, tmp_path):
    docker.mark("plain")

    with pytest.raises(DockerError, match="docker has no Compose"):
        choose_engine(None, clients(tmp_path / "fabric"))


def test_a_machine_without_docker_is_told_so(tmp_path):
    with pytest.raises(DockerError, match="there is no docker on the PATH"):
        choose_engine("fabric", {"FABRIC_RUNTIME": "docker", "PATH": str(tmp_path)})


def test_the_programs_that_no_image_holds_are_named_when_they_are_missing(docker):
    environ = {"FABRIC_RUNTIME": "docker", "PATH": f"{docker.place / 'bin'}"}

    with pytest.raises(
        EngineError, match="peer, configtxgen, osnadmin not found on PATH or in FABRIC_BIN; there are no"
    ):
        choose_engine(None, environ)


def test_devnet_needs_no_docker_and_unknown_runtimes_are_refused():
    assert choose_engine("devnet", {"FABRIC_RUNTIME": "docker", "PATH": ""})[0].runtime == "native"
    with pytest.raises(EngineError, match="there is no runtime 'podman'"):
        choose_engine(None, {"FABRIC_RUNTIME": "podman", "PATH": ""})


def test_a_docker_that_hangs_is_given_up_in_time(tmp_path, monkeypatch):
    program = tmp_path / "docker"
    program.write_text("#!/bin/sh\nexec sleep 60\n")
    program.chmod(0o755)
    monkeypatch.setattr("fabric_fl.network.docker.client._ANSWER_SECONDS", 0.2)

    from fabric_fl.network.docker.client import Docker

    with pytest.raises(DockerError, match="docker info did not end within 0 s"):
        Docker(program).run("info", seconds=0.2)


def test_what_runs_a_network_is_what_its_last_up_took(home, programs, docker):
    assert isinstance(runner_of(home), Supervisor)
    lay_what_enrolment_lays(home)
    runner = runner_of(home, "docker")
    runner.prepare(programs, print)
    runner.run(programs)

    assert isinstance(runner_of(home), Compose)
    asked = Plan("fabric", Consortium.default(2), runtime="docker")
    keep(home, asked, settle(home, asked))
    assert load(home).runtime == "docker"
    assert network.down(home.root, wipe=True) is True
    assert docker.calls()[-1][5:] == ["down", "--timeout", "10", "--remove-orphans"]
    assert not home.root.exists()


def test_the_doctor_says_when_docker_does_not_answer(home, docker):
    asked = Plan("fabric", Consortium.default(2).on_free_ports(), runtime="docker")
    keep(home, asked, settle(home, asked))
    assert [one.name for one in examine(home.root)][-2:] == ["ports", "processes"]
    docker.mark("silent")

    last = list(examine(home.root))[-1]

    assert last.name == "Docker"
    assert [one.problem[:40] for one in last.findings] == ["docker info: Cannot connect to the Docke"]


def test_docker_in_place_of_a_native_network_is_another_network(home):
    asked = Plan("fabric", Consortium.default(2))
    keep(home, asked, settle(home, asked))

    with pytest.raises(network.NetworkChangedError, match="runtime was native, now docker"):
        settle(home, replace(asked, runtime="docker"))


def test_another_version_of_fabric_is_an_upgrade_of_the_same_network(home):
    asked = Plan("fabric", replace(Consortium.default(1), fabric=Versions("3.1.4", "1.5.21")))
    keep(home, asked, settle(home, asked))
    newer = replace(asked, consortium=replace(asked.consortium, fabric=Versions("3.1.5", "1.5.21")))

    plan = settle(home, newer)
    keep(home, newer, plan)

    assert plan.consortium.fabric == load(home).consortium.fabric == Versions("3.1.5", "1.5.21")
