"""A moto server of our own, and Terraform pointed at it."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

TERRAFORM = Path(__file__).resolve().parent.parent
ACCOUNT = "123456789012"
REGION = "eu-west-1"

# A certificate of the public name, which an account has before the first apply.
SUBJECT = "trace.example.com"

# Keys that belong to nobody, and an address that is nobody's but ours.
PROVIDER = """
provider "aws" {
  s3_use_path_style           = true
  skip_credentials_validation = true
  skip_metadata_api_check     = true
}
"""

# What moto 5.2 has no API for. It is left out of what is applied, and asserted on its plan.
LACKING_MODULE = "module.platform.module.dns_firewall"
LACKING = {
    "modules/platform/lacking_override.tf": 'module "dns_firewall" {\n  count = 0\n}\n',
}


class Failed(Exception):
    """A command that should have worked did not."""


def free_port():
    """A port below those that the kernel gives to whoever asks for any."""
    while True:
        port = random.randrange(10_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextlib.contextmanager
def moto(log):
    """Starts a moto server on a free port, and ends it."""
    port = free_port()
    program = [sys.executable, "-B", TERRAFORM / "tests" / "serve.py"]
    with open(log, "w", encoding="utf-8") as output:
        server = subprocess.Popen(
            [*program, "-H", "127.0.0.1", "-p", str(port)], stdout=output, stderr=subprocess.STDOUT, env=_environment("")
        )
        try:
            yield _answering(f"http://127.0.0.1:{port}", server)
        finally:
            server.terminate()
            server.wait()


def _answering(address, server):
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/moto-api/", timeout=2).close()
            return address
        except OSError:
            time.sleep(0.1)
    raise Failed("moto did not start; its log says why")


def stage(folder, whole):
    """Copies the tree; leaves out what moto lacks unless it is to be whole."""
    shutil.copytree(
        TERRAFORM, folder, ignore=shutil.ignore_patterns(".terraform", "*.tfstate*", "terraform.tfvars", "__pycache__")
    )
    for root in roots(folder):
        (root / "emulated_override.tf").write_text(PROVIDER)
    if not whole:
        for path, text in LACKING.items():
            (folder / path).write_text(text)
    return folder


def roots(folder):
    return [folder / "bootstrap", *sorted((folder / "environments").iterdir())]


def _environment(address):
    keep = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return keep | {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_REGION": REGION,
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_ENDPOINT_URL": address,
        "TF_IN_AUTOMATION": "1",
        "TF_CLI_CONFIG_FILE": os.devnull,
        "CHECKPOINT_DISABLE": "1",
        "TF_INPUT": "0",
    }


class Root:
    """A folder that Terraform is run in, with the tests' values."""

    def __init__(self, folder, address, certificate=None):
        self.folder = Path(folder)
        self.environment = _environment(address)
        self.values = TERRAFORM / "tests" / "values.tfvars.json"
        values = json.loads(self.values.read_text())
        if self.folder.name == "bootstrap":
            values = {name: values[name] for name in ("account_id", "region")}
        else:
            values["domain"]["certificate_arn"] = certificate or values["domain"]["certificate_arn"]
        self.values = self.folder / "values.tfvars.json"
        self.values.write_text(json.dumps(values))

    def run(self, *arguments, codes=(0,)):
        # Warnings about the emulator's keys are not for whoever reads the output of the tests.
        done = subprocess.run(
            ["terraform", *arguments], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )
        if done.returncode not in codes:
            tail = (done.stderr or done.stdout)[-6000:]
            raise Failed(f"{self.folder.name}: terraform {' '.join(arguments)} ended with {done.returncode}:\n{tail}")
        return done

    def init(self):
        plugins = os.environ.get("TRACE_TERRAFORM_PLUGINS")
        self.run("init", "-no-color", "-backend=false", "-lockfile=readonly", *([f"-plugin-dir={plugins}"] if plugins else []))

    def validate(self):
        self.run("validate", "-no-color")

    def plan(self, name, only=None):
        """Plans, all of it or one module, and answers the plan as JSON."""
        target = [f"-target={only}"] if only else []
        self.run("plan", "-no-color", "-lock=false", *target, f"-var-file={self.values}", f"-out={name}.tfplan")
        return json.loads(self.run("show", "-json", f"{name}.tfplan").stdout)

    def apply(self):
        self.run("apply", "-no-color", "-auto-approve", "-lock=false", "-parallelism=20", f"-var-file={self.values}")
        return self.state()

    def state(self):
        return json.loads(self.run("show", "-json").stdout)

    def destroy(self, codes=(0,), only=None):
        """Destroys everything, or one resource with what depends on it."""
        target = [f"-target={only}"] if only else []
        return self.run(
            "destroy", "-no-color", "-auto-approve", "-lock=false", "-parallelism=20", *target, f"-var-file={self.values}", codes=codes
        )
