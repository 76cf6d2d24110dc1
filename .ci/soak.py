"""A long run of everything at once: does what the server needs level off?

    python3 .ci/soak.py BINARY [--minutes M] [--seed N]

Bursts as Okta sends them, imports, group pushes and Bulk on several connections; tokens are made
and revoked and deleted users purged by commands beside the server, and backups taken where plumm
has them. Every answer is checked. Every few seconds memory, threads, descriptors and files are
measured; at the end the medians of the second and the last quarter are compared.
"""

import argparse
import os
import random
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from plumm import BULK, GROUP, Client, Server, command, has_command, patch, user  # noqa: E402

BURSTS = 4
# Each burst connection deletes its oldest users above this number, so that their number levels off.
USERS_MAX = 250
SAMPLES = 120
# What may be between two medians: allocators and page caches fill up in steps.
SPARE = {"rss KiB": 8 * 1024, "threads": 8, "descriptors": 8, "db KiB": 4 * 1024,
         "wal KiB": 16 * 1024}
# What one more stored user may cost, in KiB; the log of its changes is with it in the file.
PER_USER = {"rss KiB": 4, "db KiB": 8}
# Beside the users, the file keeps a line for each change (`--log-days`), of so many KiB.
PER_LOG_LINE = 0.7


class Soak:
    def __init__(self, binary, database, address, token, seed, ends):
        self.binary, self.database, self.address = binary, database, address
        self.token, self.seed, self.ends = token, seed, ends
        self.failures, self.requests, self.changes = [], 0, 0
        self.counting = threading.Lock()

    def run(self, work, *arguments):
        """Work until the time is over; a failure ends the whole run."""
        try:
            state = {}
            while time.monotonic() < self.ends and not self.failures:
                work(state, *arguments)
        except Exception as failure:
            self.failures.append(f"{work.__name__}: {failure!r}")

    def call(self, client, method, path, body, status):
        answer = client.call(method, path, body, [status])[1]
        with self.counting:
            self.requests += 1
            self.changes += method != "GET"
        return answer

    def burst(self, state, tag):
        """One user as Okta pushes it: looked for, created, changed, switched off and on."""
        client = state.setdefault("client", Client(self.address, self.token))
        users, number = state.setdefault("users", []), state.get("number", 0)
        state["number"] = number + 1
        name = f"{tag}-{number}@example.com"
        assert client.lookup(name) == [], name
        created = self.call(client, "POST", "/Users", user(name, "new"), 201)
        at = f"/Users/{created['id']}"
        assert client.lookup(name) == [created], name
        assert self.call(client, "GET", at, None, 200) == created, name
        put = self.call(client, "PUT", at, user(name, "changed"), 200)
        assert put["title"] == "changed" and put["id"] == created["id"], put
        for active in (False, True):
            body = patch({"op": "replace", "value": {"active": active}})
            assert self.call(client, "PATCH", at, body, 200)["active"] is active, name
            assert self.call(client, "GET", at, None, 200)["active"] is active, name
        users.append(created["id"])
        self.call(client, "POST", "/Users", user(name, "again"), 409)
        if number % 10 == 0:
            self.group(client, state, tag, users[-20:])
        if number % 25 == 0:
            self.bulk(client, f"{tag}-{number}", users)
        while len(users) > USERS_MAX:
            gone = users.pop(0)
            self.call(client, "DELETE", f"/Users/{gone}", None, 204)
            self.call(client, "GET", f"/Users/{gone}", None, 404)

    def group(self, client, state, tag, members):
        if "group" not in state:
            body = {"schemas": [GROUP], "displayName": f"{tag} group"}
            state["group"] = self.call(client, "POST", "/Groups", body, 201)["id"]
        at = f"/Groups/{state['group']}"
        values = [{"value": it} for it in members]
        body = patch({"op": "replace", "path": "members", "value": values})
        self.call(client, "PATCH", at, body, 200)
        found = self.call(client, "GET", at, None, 200)["members"]
        assert {it["value"] for it in found} == set(members), found

    def bulk(self, client, tag, users):
        names = [f"{tag}-bulk-{i}@example.com" for i in range(20)]
        body = {"schemas": [BULK], "Operations": [
            {"method": "POST", "path": "/Users", "bulkId": it, "data": user(it, "bulk")}
            for it in names]}
        answer = self.call(client, "POST", "/Bulk", body, 200)
        assert all(it["status"] == "201" for it in answer["Operations"]), answer
        users += [it["location"].rsplit("/", 1)[1] for it in answer["Operations"]]

    def imports(self, state):
        """Everything, page by page, while others write."""
        client = state.setdefault("client", Client(self.address, self.token))
        found, _ = client.everything("Users")
        names = [it["userName"] for it in found]
        assert len(set(names)) == len(names), "a user is listed twice"
        time.sleep(1)

    def operator(self, state):
        """Commands beside the server."""
        def run(*arguments):
            return command(self.binary, self.database, *arguments)
        made = run("token", "create", "acme", "--label", "soak")
        client = Client(self.address, made["token"])
        client.call("GET", "/Users?count=1", expected=[200])
        run("token", "revoke", made["id"])
        client.call("GET", "/Users?count=1", expected=[401])
        client.connection.close()
        for it in run("user", "list", "acme", "--deleted")[:100]:
            if time.monotonic() < self.ends:
                run("user", "purge", "acme", it["id"], "--yes")
        if "backup" not in state:
            state["backup"] = has_command(self.binary, "backup")
        if state["backup"]:
            copy = self.database + ".copy"
            subprocess.run([self.binary, "--db", self.database, "backup", copy], check=True,
                           capture_output=True)
            os.remove(copy)
        time.sleep(2)

    def stored(self):
        return Client(self.address, self.token).call("GET", "/Users?count=0")[1]["totalResults"]


def measure(server, database, soak):
    at = f"/proc/{server.process.pid}"
    with open(f"{at}/status", encoding="ascii") as status:
        fields = dict(line.split(":", 1) for line in status)

    def kib(name):
        return os.path.getsize(name) // 1024 if os.path.exists(name) else 0
    return {"rss KiB": int(fields["VmRSS"].split()[0]), "threads": int(fields["Threads"]),
            "descriptors": len(os.listdir(f"{at}/fd")), "db KiB": kib(database),
            "wal KiB": kib(database + "-wal"), "users": soak.stored(), "changes": soak.changes,
            "requests": soak.requests}


def verdict(samples):
    """What has not levelled off."""
    quarter = len(samples) // 4
    second, last = samples[quarter:2 * quarter], samples[-quarter:]

    def grown(name):
        return (statistics.median(it[name] for it in last)
                - statistics.median(it[name] for it in second))
    faults = []
    for name, spare in SPARE.items():
        explained = PER_USER.get(name, 0) * max(0, grown("users"))
        if name == "db KiB":
            explained += PER_LOG_LINE * grown("changes")
        growth = grown(name)
        fine = growth <= explained + spare
        print(f"soak: {name}: {growth:+.0f} from the second to the last quarter, {explained:.0f} "
              f"explained, {spare} allowed: {'levels off' if fine else 'GROWS'}")
        faults += [] if fine else [name]
    return faults


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--minutes", type=float, default=10)
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = arguments.parse_args()
    binary = os.path.abspath(given.binary)
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "plumm.db")
        command(binary, database, "org", "create", "acme", "--activate")
        token = command(binary, database, "token", "create", "acme")["token"]
        server = Server(binary, database)
        ends = time.monotonic() + given.minutes * 60
        soak = Soak(binary, database, server.address, token, given.seed, ends)
        work = [(soak.imports,), (soak.operator,)]
        work += [(soak.burst, f"b{i}") for i in range(BURSTS)]
        threads = [threading.Thread(target=soak.run, args=it, daemon=True) for it in work]
        samples = []
        try:
            for it in threads:
                it.start()
            every = max(1.0, given.minutes * 60 / SAMPLES)
            while time.monotonic() < ends and not soak.failures:
                time.sleep(min(every, max(0.1, ends - time.monotonic())))
                samples.append(measure(server, database, soak))
                if len(samples) % 10 == 1:
                    print("soak: " + "  ".join(f"{k} {v}" for k, v in samples[-1].items()),
                          flush=True)
            for it in threads:
                it.join(timeout=60)
            server.stop()
        finally:
            server.kill()
    assert not soak.failures, soak.failures
    assert not server.complaints, server.complaints
    print(f"soak: {soak.requests} requests, every answer as it must be")
    if len(samples) < 8:
        raise SystemExit("soak: too short for a verdict")
    if faults := verdict(samples):
        raise SystemExit(f"soak: does not level off: {', '.join(faults)}")


main()
