"""supervisord under a network: what is started, restarted and ended."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from waiting import wait_for

from fabric_fl.network import down, leftovers
from fabric_fl.network.errors import NoNetworkError
from fabric_fl.network.home import Home
from fabric_fl.network.program import Program
from fabric_fl.network.supervision import Supervisor


def sleeper(name: str, *, code: str = "import time; print('up', flush=True); time.sleep(600)") -> Program:
    return Program(name=name, command=(sys.executable, "-c", code))


def pid_of(supervisor: Supervisor, name: str) -> int:
    return next((one.pid for one in supervisor.processes() if one.name == name), 0)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


@pytest.fixture
def home(tmp_path):
    # supervisord's configuration must survive what a path can hold
    place = Home.at(tmp_path / 'a home, 100% "odd" it\'s ; #1')
    place.root.mkdir()
    yield place
    Supervisor(place).shutdown()
    assert leftovers.find(place) == []


def test_programs_run_after_start_and_none_after_shutdown(home):
    supervisor = Supervisor(home)
    supervisor.run([sleeper("one"), sleeper("two")])
    pids = [wait_for(lambda name=name: pid_of(supervisor, name)) for name in ("one", "two")]
    assert all(is_alive(pid) for pid in pids)

    supervisor.shutdown()

    assert not supervisor.is_running()
    assert not any(is_alive(pid) for pid in pids)


def test_a_second_start_leaves_what_runs_alone_and_adds_and_ends_the_difference(home):
    supervisor = Supervisor(home)
    supervisor.run([sleeper("one"), sleeper("two")])
    one, two = (wait_for(lambda name=name: pid_of(supervisor, name)) for name in ("one", "two"))

    supervisor.run([sleeper("one"), sleeper("three")])

    assert wait_for(lambda: pid_of(supervisor, "three"))
    assert pid_of(supervisor, "one") == one
    assert {process.name for process in supervisor.processes()} == {"one", "three"}
    assert not is_alive(two)


def test_a_program_that_is_killed_is_started_again(home):
    supervisor = Supervisor(home)
    supervisor.run([sleeper("one")])
    before = wait_for(lambda: pid_of(supervisor, "one"))
    wait_for(lambda: (home.logs / "one.log").read_text() == "up\n")

    os.kill(before, signal.SIGKILL)

    wait_for(lambda: pid_of(supervisor, "one") not in (0, before))
    wait_for(lambda: (home.logs / "one.log").read_text() == "up\nup\n")


def test_a_program_that_cannot_start_is_tried_again_with_back_off(home):
    supervisor = Supervisor(home)
    supervisor.run([sleeper("broken", code="raise SystemExit('no such thing')")])

    wait_for(lambda: [one.state for one in supervisor.processes()] == ["BACKOFF"])
    assert "no such thing" in (home.logs / "broken.log").read_text()


def test_restart_replaces_the_process_and_refuses_an_unknown_name(home):
    supervisor = Supervisor(home)
    supervisor.run([sleeper("one")])
    before = wait_for(lambda: pid_of(supervisor, "one"))

    supervisor.restart("one")

    wait_for(lambda: pid_of(supervisor, "one") not in (0, before))
    with pytest.raises(NoNetworkError, match="there is no program two: known are one"):
        supervisor.restart("two")


def test_shutdown_ends_programs_whose_supervisord_was_killed(home):
    supervisor = Supervisor(home)
    supervisor.run([sleeper("one")])
    orphan = wait_for(lambda: pid_of(supervisor, "one"))
    wait_for(lambda: "up" in (home.logs / "one.log").read_text())
    supervisord = int((home.root / "supervisord.pid").read_text())
    os.kill(supervisord, signal.SIGKILL)
    wait_for(lambda: not is_alive(supervisord))
    assert is_alive(orphan)

    supervisor.shutdown()

    assert not is_alive(orphan)


def test_shutdown_leaves_every_process_alone_that_it_did_not_start(home, tmp_path):
    other, supervisor = Home.at(tmp_path / "another home"), Supervisor(home)
    other.root.mkdir()
    foreign = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], cwd=home.root)
    try:
        for each in (supervisor, Supervisor(other)):
            each.run([sleeper("one")])
        own, neighbour = (wait_for(lambda each=each: pid_of(each, "one")) for each in (supervisor, Supervisor(other)))

        supervisor.shutdown()

        assert not is_alive(own)
        assert is_alive(neighbour)
        assert is_alive(foreign.pid)
    finally:
        foreign.kill()
        foreign.wait()
        Supervisor(other).shutdown()


def test_down_ends_a_network_whose_directory_was_deleted(home):
    supervisor = Supervisor(home)
    supervisor.run([sleeper("one")])
    orphan = wait_for(lambda: pid_of(supervisor, "one"))
    wait_for(lambda: "up" in (home.logs / "one.log").read_text())
    shutil.rmtree(home.root)

    assert down(home.root) is True

    assert not is_alive(orphan)
    assert not home.root.exists()


def test_a_program_gets_its_environment_as_it_was_given(home):
    value = "a,b=c 'd' 100% \\ e"
    program = Program(
        name="one",
        command=(
            sys.executable,
            "-c",
            "import os; print(os.environ['VALUE'], flush=True); import time; time.sleep(600)",
        ),
        environment={"VALUE": value},
    )
    Supervisor(home).run([program])

    log = home.logs / "one.log"
    wait_for(lambda: log.exists() and log.read_text() == value + "\n")


def test_a_home_deep_in_the_file_system_gets_a_socket_with_a_short_path(tmp_path):
    deep = Home.at(tmp_path / ("d" * 100))

    assert len(str(deep.supervisor_socket)) < 90
    assert deep.supervisor_socket.parent.stat().st_mode & 0o077 == 0
