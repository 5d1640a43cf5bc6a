"""What Terraform tells each program is what the program reads: its own parser is asked, by `check-config`.

The configuration is taken from the applied task definition, and `configure.awk` puts secrets into it as it does in the
container. The programs are those of TRACE_PROGRAMS (`target/debug` unless set); scripts/terraform.sh builds them.
"""

import json
import os
import re
import subprocess
import tempfile
from pathlib import Path

from emulated import TERRAFORM

PROGRAMS = {"dispatcher": "dispatcher", "query": "query-service", "worker": "worker-wrapper", "egress": "egress-gateway"}
RUNNER = "trace-runner"
FOLDER = Path(os.environ.get("TRACE_PROGRAMS", TERRAFORM.parent / "target" / "debug"))
PATH = {"PATH": os.environ["PATH"]}

# What an operator puts into a service's secret (docs/terraform.md), in the forms that programs read.
SECRETS = {
    "database_url": "postgres://trace_dispatcher:a%22b%5Cc@state.example.com:5432/trace?sslmode=verify-full&sslrootcert=/run/trace/database-ca.pem",
    "identity": "0" * 64,
    "tls_certificate": "-----BEGIN CERTIFICATE-----\n",
    "tls_key": "-----BEGIN PRIVATE KEY-----\n",
}  # fmt: skip


def programs_read_what_is_rendered(world):
    """Each service's program takes its configuration, its command and its health check; the runner its variables."""
    for key, program in PROGRAMS.items():
        containers = _containers(world, key)
        if containers is None:
            yield f"{key} has no task definition"
            continue
        yield from (f"{key}: {finding}" for finding in _service(program, containers["configure"], containers[key]))
    containers = _containers(world, "udf")
    if containers is None:
        yield "the runner has no task definition"
        return
    variables = {v["name"]: v["value"] for v in containers["runner"].get("environment", [])}
    yield from (f"runner: {said}" for said in _asked([RUNNER, "check-config"], variables))


def what_is_named_is_there(world):
    """Files that configurations name are written by `configure`, or lie in a volume of the task; the runner's folders
    are volumes of its own."""
    written = set(re.findall(r"^ *write ([a-z-]+[.][a-z]+) ", (TERRAFORM / "images" / "configure.sh").read_text(), re.M))
    for key in PROGRAMS:
        containers = _containers(world, key)
        text = _variables(containers["configure"])["TRACE_CONFIGURATION"]
        for name in sorted(set(re.findall(r"/run/trace/([^\"&]+)", text)) - written):
            yield f"{key}: nobody writes /run/trace/{name}"
        writable = {m["containerPath"] for m in containers[key]["mountPoints"] if not m.get("readOnly")}
        for path in (json.loads(text).get("ready_file"), json.loads(text).get("work_dir")):
            if path and not any(path.startswith(f"{folder}/") for folder in writable):
                yield f"{key}: {path} lies in no volume that may be written to"
    mounted = {m["containerPath"] for m in _containers(world, "udf")["runner"]["mountPoints"] if not m.get("readOnly")}
    yield from (f"runner: {folder} is no volume" for folder in sorted({"/task", "/out", "/tmp"} - mounted))


def every_call_is_protected(world):
    """With an authority of ours, nothing is called or listened on without TLS."""
    for key in [*PROGRAMS, "udf"]:
        for name, container in _containers(world, key).items():
            text = json.dumps(_variables(container))
            # The emulator's own queues are here; those of AWS have https.
            found = re.findall(r"http://(?!127[.]0[.]0[.]1[:/])[^/\\\"]+", text)
            yield from (f"{key}: {address} is called without TLS" for address in found)
            if re.search(r"plain_http|transport\\*\": *\\*\"plain", text) or _variables(container).get("TRACE_PLAIN_HTTP", "refuse") != "refuse":
                yield f"{key}: {name} is told that it may do without TLS"


def _containers(world, key):
    found = [t for t in world.of("aws_ecs_task_definition") if t.values["family"] == f"{world.prefix}-{key}"]
    return {c["name"]: c for c in json.loads(found[0].values["container_definitions"])} if found else None


def _variables(container):
    return {v["name"]: v["value"] for v in container.get("environment", [])}


def _service(program, configure, service):
    variables = _variables(configure) | {s["name"]: SECRETS[s["name"].removeprefix("TRACE_SECRET_")] for s in configure["secrets"]}
    written = subprocess.run(["awk", "-f", TERRAFORM / "images" / "configure.awk"], env=PATH | variables, capture_output=True, text=True)
    if written.returncode:
        yield f"configure: {written.stderr.strip()}"
        return
    own = {s["name"]: SECRETS[s["valueFrom"].rsplit(":", 3)[1]] for s in service["secrets"]}
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(written.stdout)
        file.flush()
        yield from _asked([program, "check-config", "--config", file.name], own)
    # `--help` ends a program before it does anything, once it has understood what stands before.
    yield from _asked([program, *service["command"], "--help"], {})
    yield from _asked([program, *service["healthCheck"]["command"][2:], "--help"], {})


def _asked(command, variables):
    program = FOLDER / command[0]
    if not program.exists():
        yield f"{program} is not built: run `cargo build --workspace --exclude trace-hostile`, or set TRACE_PROGRAMS"
        return
    asked = subprocess.run([program, *command[1:]], env=PATH | variables, capture_output=True, text=True, timeout=60)
    if asked.returncode:
        yield f"`{' '.join(command[:2])}` says: {(asked.stderr or asked.stdout).strip()[:400]}"


CHECKS = [programs_read_what_is_rendered, what_is_named_is_there, every_call_is_protected]
