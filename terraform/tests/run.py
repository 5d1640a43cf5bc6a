"""Applies every environment to an emulated AWS of its own and asserts what docs/terraform.md promises.

    run.py [--only dev] [--keep]

Needs `terraform` on the PATH, moto and boto3 in this interpreter, and, where there is no registry to fetch the provider
from, TRACE_TERRAFORM_PLUGINS.
"""

import argparse
import concurrent.futures
import re
import sys
import tempfile
import time
import traceback
from pathlib import Path

import check_configuration
import check_identity
import check_keeping
import check_network
import check_policies
import check_running
import leftovers
import live
import mutations
from emulated import LACKING_MODULE, SUBJECT, TERRAFORM, Failed, Root, moto, stage
from world import World

CHECKS = check_configuration.CHECKS + check_network.CHECKS + check_identity.CHECKS + check_policies.CHECKS + check_keeping.CHECKS + check_running.CHECKS
BOOTSTRAP = [check_policies.buckets_refuse_plain_http, check_keeping.everything_is_encrypted, check_keeping.nothing_is_public, check_keeping.what_must_not_be_lost_is_protected]
ENVIRONMENTS = ["dev", "staging", "prod"]


class Report:
    """What passed and what failed, printed as it comes."""

    def __init__(self):
        self.passed = self.failed = 0

    def check(self, where, what, findings):
        findings = list(findings)
        if findings:
            self.failed += 1
            print("\n".join([f"FAILED {where}: {what}", *(f"    {finding}" for finding in findings[:20])]), flush=True)
        else:
            self.passed += 1


def environment(name, folder, report):
    """One environment: apply, assert, break, plan again, destroy."""
    started = time.monotonic()
    said = lambda what: print(f"{name}: {what} ({time.monotonic() - started:.0f} s)", flush=True)
    with moto(folder / "moto.log") as address:
        certificate = live.Live(address, name).client("acm").request_certificate(DomainName=SUBJECT)["CertificateArn"]
        before = leftovers.held(live.Live(address, name))
        whole = Root(stage(folder / "whole", whole=True) / "environments" / name, address, certificate)
        applied = Root(stage(folder / "applied", whole=False) / "environments" / name, address, certificate)
        for root in (whole, applied):
            root.init()
        whole.validate()
        planned = World.of_plan(name, whole.plan("lacking", only=LACKING_MODULE))
        world = World.of_state(name, applied.apply())
        said(f"{len(world.resources)} resources applied, {len(planned.resources)} planned")
        for check in CHECKS:
            report.check(name, check.__name__, check(world))
        for check in check_running.ON_THE_PLAN:
            report.check(name, f"{check.__name__} (on the plan)", check(planned))
        for check in live.CHECKS:
            report.check(name, f"moto: {check.__name__}", check(live.Live(address, name)))
        broken(name, world, planned, report)
        report.check(name, "a second plan changes nothing that is not argued", second(name, applied.plan("second")))
        said("asserted")
        if name != "dev":
            # Taking its protection away is an apply that moto has not all calls for (`UpdateBudget`), so it ends here.
            report.check(name, "what is protected is not destroyed", protected(name, applied, address))
            said("refused to be destroyed")
            return
        applied.destroy()
        report.check(name, "destroy leaves nothing", left(before, leftovers.held(live.Live(address, name))))
        said("destroyed")


def bootstrap(folder, report):
    """What is there before any environment."""
    name = "bootstrap"
    with moto(folder / "moto.log") as address:
        before = leftovers.held(live.Live(address, name))
        root = Root(stage(folder / "applied", whole=True) / "bootstrap", address)
        root.init()
        root.validate()
        world = World.of_state("bootstrap", root.apply())
        for check in BOOTSTRAP:
            report.check("bootstrap", check.__name__, check(world))
        report.check("bootstrap", "a second plan changes nothing that is not argued", second("bootstrap", root.plan("second")))
        root.destroy()
        report.check("bootstrap", "destroy leaves nothing", left(before, leftovers.held(live.Live(address, name))))


def broken(name, world, planned, report):
    """Every check finds fault with each world that is broken for it, and every check has such a world."""
    for check in CHECKS + check_running.ON_THE_PLAN:
        base = planned if check in check_running.ON_THE_PLAN else world
        cases = mutations.MUTATIONS.get(check, []) + (mutations.IN_PROD.get(check, []) if name == "prod" else [])
        report.check(name, f"{check.__name__} can fail", [] if cases else ["no broken world is known"])
        for what, change, words in cases:
            copy = base.copy()
            try:
                change(copy)
                found = list(check(copy))
            except Exception as error:  # A broken world may not break the check: it has to say what is wrong.
                found = [f"{type(error).__name__}: {error}"]
            missed = [] if any(words in finding for finding in found) else [f"`{words}` was not found, but: {found[:3]}"]
            report.check(name, f"{check.__name__}, broken: {what}", missed)


def second(name, plan):
    """What a second plan wants to change, without what second_apply.txt argues."""
    argued = arguments_for_a_second_plan()
    for change in plan.get("resource_changes", []):
        if change["mode"] != "managed" or change["change"]["actions"] in (["no-op"], ["read"]):
            continue
        address = re.sub(r"\[[^\]]*\]", "", change["address"])
        before, after = change["change"]["before"] or {}, change["change"]["after"] or {}
        unknown = change["change"].get("after_unknown") or {}
        changed = {key for key in set(before) | set(after) if before.get(key) != after.get(key) and not unknown.get(key)}
        for attribute in sorted(changed or {"/".join(change["change"]["actions"])}):
            SEEN.add((address, attribute))
            if (address, attribute) not in argued:
                yield f"{change['address']}.{attribute}: {_short(before.get(attribute))} → {_short(after.get(attribute))}"


SEEN = set()


def arguments_for_a_second_plan():
    """(address without indexes, attribute) of each line that is argued."""
    argued = set()
    for line in (TERRAFORM / "tests" / "second_apply.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            address, attribute, reason = line.split(None, 2)
            assert reason, line
            argued.add((address, attribute))
    return argued


def _short(value):
    return str(value) if len(str(value)) < 200 else f"{str(value)[:200]}…"


def protected(name, root, address):
    """A protected environment's databases refuse to be destroyed. The rest is not tried: it would be gone at once."""
    done = root.destroy(codes=(0, 1), only="module.platform.module.data.aws_db_instance.this")
    databases = live.Live(address, name).client("rds").describe_db_instances()["DBInstances"]
    if done.returncode == 0 or len(databases) != 2:
        yield f"destroy ended with {done.returncode}; {len(databases)} databases are left"


def left(before, after):
    """What was not there before."""
    yield from (f"{kind}: {name}" for kind, name in sorted(after - before))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--only", choices=[*ENVIRONMENTS, "bootstrap"])
    parser.add_argument("--keep", action="store_true", help="keep the folder it worked in")
    arguments = parser.parse_args()
    report = Report()
    folder = Path(tempfile.mkdtemp(prefix="trace-terraform-"))
    jobs = {name: (environment, name) for name in ENVIRONMENTS} | {"bootstrap": (bootstrap,)}
    jobs = {name: job for name, job in jobs.items() if arguments.only in (None, name)}
    with concurrent.futures.ThreadPoolExecutor(len(jobs)) as pool:
        running = {}
        for name, (job, *rest) in jobs.items():
            (folder / name).mkdir()
            running[pool.submit(job, *rest, folder / name, report)] = name
        for done in concurrent.futures.as_completed(running):
            error = done.exception()
            if error is not None:
                why = str(error) if isinstance(error, Failed) else "".join(traceback.format_exception(error))
                report.check(running[done], "ran to its end", [why])
    if not arguments.only and not report.failed:
        unused = arguments_for_a_second_plan() - SEEN
        report.check("second_apply.txt", "every line is needed", (" ".join(line) for line in sorted(unused)))
    if arguments.keep or report.failed:
        print(f"kept: {folder}")
    else:
        import shutil

        shutil.rmtree(folder)
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
