"""kill -9 in the middle of work, again and again: what was answered is there, what was refused is
not, and no request is there by half.

    python3 .ci/kill.py BINARY [--rounds N] [--seed N]

Each round starts the real server on the same file, lets 8 connections change users and groups of
their own, kills it at a random moment, starts it again and compares.
"""

import argparse
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

sys.dont_write_bytecode = True
from plumm import BULK, GROUP, Client, Cut, Server, command, has_command, patch, user  # noqa: E402

CONNECTIONS = 8
# A server works this long before it is killed, in seconds.
WORK_SECONDS = (0.02, 0.6)
LEFT_OUT = object()


class Worker:
    """The truth about the users and groups of one connection: what they must be, and while a
    request is under way or was cut off, what they may be instead."""

    def __init__(self, tag, seed):
        self.tag, self.random = tag, random.Random(seed)
        self.users, self.groups = {}, {}      # userName or displayName -> what is expected
        self.made, self.answers, self.failure = 0, 0, None
        # What the request under way would change: {(kind, name): state}, all or nothing.
        self.pending = {}

    def name(self):
        self.made += 1
        return f"{self.tag}-{self.made}@example.com"

    def work(self, address, token):
        client = Client(address, token)
        try:
            while True:
                self.step(client)
                self.answers += 1
        except Cut:
            pass
        except Exception as failure:
            self.failure = failure

    def step(self, client):
        kind = self.random.randrange(9) if self.users else 0
        title = f"{self.made} {'x' * self.random.choice([10, 10, 10, 6000])}"
        name = self.random.choice(sorted(self.users)) if self.users else None
        known = self.users.get(name)
        at = f"/Users/{known['id']}" if known else None
        if kind <= 2:
            name = self.name()
            self.send(client, "POST", "/Users", user(name, title), 201,
                      {("Users", name): {"id": None, "title": title, "active": True}})
        elif kind == 3:
            self.send(client, "PUT", at, user(name, title), 200,
                      {("Users", name): {**known, "title": title, "active": True}})
        elif kind == 4:
            active = not known["active"]
            body = patch({"op": "replace", "value": {"active": active}})
            self.send(client, "PATCH", at, body, 200,
                      {("Users", name): {**known, "active": active}})
        elif kind == 5:
            group = f"{self.tag} group {self.name()}"
            members = sorted(it["id"] for it in self.users.values())[:5]
            body = {"schemas": [GROUP], "displayName": group,
                    "members": [{"value": it} for it in members]}
            self.send(client, "POST", "/Groups", body, 201,
                      {("Groups", group): {"id": None, "members": members}})
        elif kind == 6 and len(self.users) > 3:
            change = {("Users", name): LEFT_OUT}
            for group, it in self.groups.items():
                left = [member for member in it["members"] if member != known["id"]]
                if left != it["members"]:
                    change["Groups", group] = {**it, "members": left}
            self.send(client, "DELETE", at, None, 204, change)
        elif kind == 7:
            names = [self.name(), self.name()]
            body = {"schemas": [BULK], "Operations": [
                *({"method": "POST", "path": "/Users", "bulkId": it, "data": user(it, title)}
                  for it in names),
                {"method": "PATCH", "path": at,
                 "data": patch({"op": "replace", "path": "title", "value": title})}]}
            change = {("Users", it): {"id": None, "title": title, "active": True} for it in names}
            change["Users", name] = {**known, "title": title}
            self.send(client, "POST", "/Bulk", body, 200, change)
        else:
            # Refused, because the username is taken; the mark shows if it was done after all.
            body = {**user(name, title), "externalId": "refused"}
            client.call("POST", "/Users", body, expected=[409])

    def send(self, client, method, path, body, status, change):
        self.pending = change
        answer = client.call(method, path, body, expected=[status])[1]
        if path == "/Bulk":
            statuses = [it["status"] for it in answer["Operations"]]
            assert statuses == ["201", "201", "200"], answer
            ids = {it["bulkId"]: it["location"].rsplit("/", 1)[1]
                   for it in answer["Operations"] if "bulkId" in it}
        else:
            ids = {name: (answer or {}).get("id") for _, name in change}
        for (_, name), state in change.items():
            if state is not LEFT_OUT and state["id"] is None:
                state["id"] = ids[name]
        self.keep(change)
        self.pending = {}

    def keep(self, change):
        for (kind, name), state in change.items():
            known = self.users if kind == "Users" else self.groups
            if state is LEFT_OUT:
                known.pop(name, None)
            else:
                known[name] = state

    def judge(self, found):
        """Compares with what the restarted server has, and takes over what it says of the request
        that was cut off."""
        before = {("Users", it): state for it, state in self.users.items()}
        before |= {("Groups", it): state for it, state in self.groups.items()}
        after = {**before, **self.pending}
        after = {key: it for key, it in after.items() if it is not LEFT_OUT}
        for key, state in after.items():
            if state["id"] is None and key in found:
                state["id"] = found[key]["id"]
        if found == before:
            done = False
        elif self.pending and found == after:
            done = True
        else:
            wrong = {key: (before.get(key), found.get(key)) for key in {*before, *found}
                     if before.get(key) != found.get(key)}
            raise SystemExit(f"{self.tag}: expected and found: {wrong}\nunder way: {self.pending}")
        if done:
            self.keep(self.pending)
        self.pending = {}
        return done


def read(client, workers):
    """Everything the server has, by worker."""
    found = {it.tag: {} for it in workers}
    for kind in ("Users", "Groups"):
        resources, total = client.everything(kind)
        assert len(resources) == total, (kind, len(resources), total)
        for it in resources:
            name = it["userName"] if kind == "Users" else it["displayName"]
            if kind == "Users":
                assert "externalId" not in it, f"a refused request has left {it}"
                state = {"id": it["id"], "title": it["title"], "active": it["active"]}
            else:
                members = sorted(member["value"] for member in it.get("members", []))
                state = {"id": it["id"], "members": members}
            assert (kind, name) not in found[name[:2]], f"{name} is there twice"
            found[name[:2]][kind, name] = state
    return found


def check_file(binary, database):
    if has_command(binary, "check"):
        ran = subprocess.run([binary, "check", database], capture_output=True, text=True)
        assert ran.returncode == 0, (ran.stdout, ran.stderr)
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        counts = dict(connection.execute("SELECT type, sum(count) FROM resource_count GROUP BY 1"))
        real = dict(connection.execute(
            "SELECT type, sum(deleted IS NULL) FROM resource GROUP BY 1"))
        assert counts == real, (counts, real)
    connection.close()


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("binary")
    arguments.add_argument("--rounds", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    given = arguments.parse_args()
    binary = os.path.abspath(given.binary)
    print(f"kill: {given.rounds} rounds, seed {given.seed}", flush=True)
    chance = random.Random(given.seed)
    workers = [Worker(f"w{i}", given.seed + i) for i in range(CONNECTIONS)]
    cut = done = 0
    with tempfile.TemporaryDirectory() as folder:
        database = os.path.join(folder, "plumm.db")
        command(binary, database, "org", "create", "acme", "--activate")
        token = command(binary, database, "token", "create", "acme")["token"]
        for number in range(given.rounds):
            server = Server(binary, database)
            try:
                threads = [threading.Thread(target=it.work, args=(server.address, token))
                           for it in workers]
                for it in threads:
                    it.start()
                time.sleep(chance.uniform(*WORK_SECONDS))
                server.kill()
                for it in threads:
                    it.join()
                failures = [it.failure for it in workers if it.failure] + server.complaints
                assert not failures, failures
                server = Server(binary, database)
                found = read(Client(server.address, token), workers)
                for it in workers:
                    cut += bool(it.pending)
                    done += it.judge(found[it.tag])
                # Half of the time the next server finds what a killed one has left.
                if chance.random() < 0.5:
                    server.stop()
                    check_file(binary, database)
            finally:
                server.kill()
            if (number + 1) % 20 == 0:
                print(f"kill: {number + 1} rounds", flush=True)
        check_file(binary, database)
    answers = sum(it.answers for it in workers)
    stored = sum(len(it.users) + len(it.groups) for it in workers)
    assert answers > given.rounds, "hardly anything was answered"
    print(f"kill: {answers} answers, all kept; {cut} requests cut off, of which {done} were done; "
          f"{stored} resources")


main()
