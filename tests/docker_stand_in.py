#!/usr/bin/env python3
"""A program in Docker's place: it writes down what it is asked, and starts processes instead of containers.

What it cannot show is what only Docker does, and what is in the images. What it shows is which commands Docker gets, in
which order, and that the commands, environments and files that compose.yaml names are all that the programs need.

DOCKER_STAND_IN names its directory: `calls` lists every call, `images` what was pulled or built, `silent` makes it
answer like a client without an engine, `plain` like one without Compose, `still` starts no process,
`mounts` gives each process the mounts and the read-only file system of its service, where the kernel lets it.
"""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from shlex import quote

PLACE = Path(os.environ.get("DOCKER_STAND_IN", ""))
CONTAINERS = PLACE / "containers.json"
UNSHARE = ["unshare", *([] if os.getuid() == 0 else ["--map-root-user"]), "--mount", "--propagation", "private"]


def main(arguments):
    with (PLACE / "calls").open("a") as calls:
        calls.write(json.dumps(arguments) + "\n")
    if (PLACE / "silent").exists():
        sys.exit("Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?")
    if arguments[0] == "compose" and arguments[1] != "version":
        file = Path(arguments[arguments.index("--file") + 1])
        verb, *rest = arguments[arguments.index("--file") + 2 :]
        return COMPOSE[verb](file, rest)
    return PLAIN[arguments[0]](arguments[1:])


def containers():
    return json.loads(CONTAINERS.read_text()) if CONTAINERS.exists() else {}


def keep(found):
    CONTAINERS.write_text(json.dumps(found))


def images():
    path = PLACE / "images"
    return path.read_text().split() if path.exists() else []


def compose_version(_arguments):
    if (PLACE / "plain").exists():
        sys.exit("docker: unknown command: docker compose\n\nRun 'docker --help' for more information")
    print("2.33.1")


def image(arguments):
    if arguments[1] not in images():
        sys.exit(f"Error response from daemon: No such image: {arguments[1]}")


def take_image(arguments):
    (PLACE / "images").write_text("\n".join([*images(), next(one for one in arguments if ":" in one)]))


def ps(arguments):
    label = arguments[arguments.index("--filter") + 1]
    assert label.startswith("label=com.docker.compose.project=fabric-fl-")
    print("\n".join(one["id"] for one in containers().values()))


def inspect(ids):
    shown = []
    for name, one in containers().items():
        alive = one["pid"] is None or is_alive(one["pid"])
        state = {"Status": one.get("status") or ("running" if alive else "exited"), "Pid": (one["pid"] or 1) * alive}
        state |= {"StartedAt": one["began"], "Health": {"Status": "healthy" if alive else "unhealthy"}}
        labels = {"com.docker.compose.service": name}
        shown.append({"Id": one["id"], "State": state, "RestartCount": 0, "Config": {"Labels": labels}})
    print(json.dumps([one for one in shown if one["Id"] in ids]))


def up(file, _arguments):
    import yaml

    wanted, found = yaml.safe_load(file.read_text())["services"], containers()
    for name, service in wanted.items():
        assert service["image"] in images(), f"{service['image']} was neither pulled nor built"
        for mount in service["volumes"]:
            assert Path(mount["source"]).exists(), f"{mount['source']} does not exist"
        text = json.dumps(service, sort_keys=True)
        # as Compose does: another description, another container; one that has ended is started again
        changed = name in found and found[name]["service"] != text
        if changed:
            end(found.pop(name))
        if name not in found or (found[name]["pid"] and not is_alive(found[name]["pid"])):
            began = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime()) + ".123456789Z"
            identifier = hashlib.sha256(name.encode()).hexdigest()
            found[name] = {"id": identifier, "began": began, "service": text, "pid": start(name, service)}
    for name in set(found) - set(wanted):
        end(found.pop(name))
    keep(found)


def start(name, service):
    if (PLACE / "still").exists():
        return None
    program, *arguments = service.get("command") or [sys.executable, "-m", "fl_chaincode"]
    found = shutil.which(program, path=f"{os.environ.get('FABRIC_BIN', '')}:{os.environ['PATH']}")
    # nothing of this process's environment, as in a container
    environment = {key: value.replace("$$", "$") for key, value in service["environment"].items()}
    command = [found, *arguments]
    with (PLACE / f"{name}.log").open("ab") as log:
        return subprocess.Popen(
            [*shut_in(service), *command] if (PLACE / "mounts").exists() else command,
            env={"PATH": "/usr/bin:/bin", **environment},
            cwd=service["working_dir"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        ).pid


def shut_in(service):
    """Returns what runs a command with the file system and the rights that the service has, in a mount namespace."""
    home, volumes = service["working_dir"], list(enumerate(service["volumes"]))
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    steps = ["mount -t tmpfs tmpfs /mnt"]
    steps += [f"mkdir /mnt/{at} && mount --bind {quote(one['source'])} /mnt/{at}" for at, one in volumes]
    steps.append("mount -t tmpfs tmpfs /tmp")
    # nothing of the network but what the service mounts
    steps.append(f"mkdir -p {quote(home)} && mount -t tmpfs tmpfs {quote(home)}")
    for at, one in volumes:
        target = quote(one["target"])
        steps.append(f"mkdir -p {target} && mount --bind /mnt/{at} {target}")
        steps += [f"mount -o remount,bind,ro {target}"] if one.get("read_only") else []
    steps += [f"umount /mnt/{at}" for at, _ in volumes]
    steps += ["umount /mnt", f"mount -o remount,ro {quote(home)}", "mount -o remount,bind,ro /", f"cd {quote(home)}"]
    drop = 'exec setpriv --bounding-set=-all --inh-caps=-all --no-new-privs "$@"'
    return [*UNSHARE, "sh", "-euc", "\n".join([*steps, drop]), "sh"]


def end(container):
    if container["pid"] is None:
        return
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 5)):
        deadline = time.monotonic() + seconds
        while is_alive(container["pid"]) and time.monotonic() < deadline:
            os.kill(container["pid"], number)
            time.sleep(0.05)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except OSError:
        return False


def down(_file, _arguments):
    for one in containers().values():
        end(one)
    keep({})


def restart(_file, arguments):
    found, name = containers(), arguments[-1]
    end(found[name])
    found[name]["pid"] = start(name, json.loads(found[name]["service"]))
    keep(found)


def logs(_file, arguments):
    path = PLACE / f"{arguments[-1]}.log"
    print("\n".join(path.read_text().splitlines()[-int(arguments[arguments.index("--tail") + 1]) :]))


PLAIN = {
    "info": lambda _: print("28.0.1"),
    "compose": compose_version,
    "image": image,
    "pull": take_image,
    "build": take_image,
    "ps": ps,
    "inspect": inspect,
}
COMPOSE = {"up": up, "down": down, "restart": restart, "logs": logs}

if __name__ == "__main__":
    main(sys.argv[1:])
