"""Drives the built server with a client library that others wrote: the life of a person and a group.

    clients.py PLUMM_BINARY

The library checks each answer against the schemas it knows; whatever it raises ends the run. The rules of a
new organisation stand: usernames are email addresses, and an identity does not change.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading

import httpx2
from scim2_client.engines.httpx2 import SyncSCIMClient
from scim2_models import (BulkOperation, BulkRequest, Error, PatchOp, PatchOperation, ResponseParameters,
                          SearchRequest)

sys.dont_write_bytecode = True
from plumm import listening  # noqa: E402

SECONDS_MAX = 60
NAME = "ida@example.com"


def main():
    binary = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        plumm = [binary, "--db", os.path.join(folder, "plumm.db")]
        for strict in ("off", "on"):
            subprocess.run(plumm + ["org", "create", strict, "--activate", "--strict", strict], check=True,
                           capture_output=True)
        server = subprocess.Popen(plumm + ["serve", "--listen", "127.0.0.1:0"], text=True,
                                  stderr=subprocess.PIPE)
        watchdog = threading.Timer(SECONDS_MAX, server.kill)
        watchdog.start()
        try:
            base = listening(server)
            for strict in ("off", "on"):
                tokens = {it: token(plumm, strict, it) for it in ("scim", "access")}
                print(f"scim2-client, --strict {strict}:", ", ".join(play(base, tokens)))
            server.send_signal(signal.SIGTERM)
            assert server.wait(timeout=15) == 0
        finally:
            watchdog.cancel()
            server.kill()


def token(plumm, org, scope):
    made = subprocess.run(plumm + ["--json", "token", "create", org, "--scope", scope], check=True,
                          capture_output=True)
    return json.loads(made.stdout)["token"]


def play(base, tokens):
    """The steps, each named once it is done."""
    headers = {"Authorization": f"Bearer {tokens['scim']}"}
    with httpx2.Client(base_url=base + "/scim/v2", headers=headers, timeout=20) as connection:
        scim = SyncSCIMClient(connection)
        scim.discover()
        yield "discover"
        User, Group = scim.get_resource_model("User"), scim.get_resource_model("Group")

        def login():
            bearer = {"Authorization": f"Bearer {tokens['access']}"}
            return httpx2.get(f"{base}/access/v1/users/{NAME}", headers=bearer).status_code

        def patch(resource, *operations):
            model = type(resource)
            message = PatchOp[model](operations=[PatchOperation(**it) for it in operations])
            return scim.modify(resource, message)

        def lookup(model, text):
            parameters = SearchRequest(filter=text, start_index=1, count=10)
            return scim.query(model, query_parameters=parameters)

        assert lookup(User, f'userName eq "{NAME}"').total_results == 0
        ida = User(user_name=NAME, external_id="e1", name={"givenName": "Ida", "familyName": "Lee"},
                   emails=[{"value": NAME, "type": "work", "primary": True}], active=True)
        ida = scim.create(ida)
        assert ida.id and ida.active and login() == 200
        yield "create"
        again = scim.create(User(user_name=NAME.upper()), raise_scim_errors=False)
        assert isinstance(again, Error) and again.scim_type == "uniqueness", again
        yield "create again is 409"
        found = lookup(User, f'userName eq "{NAME.upper()}"')
        assert [it.id for it in found.resources] == [ida.id]
        few = scim.query(User, ida.id, ResponseParameters(attributes=["userName"]))
        assert few.user_name == NAME and few.emails is None
        yield "look up"

        ida.title = "Dr"
        ida = scim.replace(ida)
        assert ida.title == "Dr"
        ida = patch(ida, {"op": "replace", "path": "name.familyName", "value": "Moe"})
        assert (ida.name.family_name, ida.name.given_name) == ("Moe", "Ida")
        yield "update by PUT and PATCH"
        refused = scim.modify(ida, PatchOp[User](operations=[PatchOperation(
            op="replace", path="emails[type eq \"work\"].value", value="eve@example.com")]),
            raise_scim_errors=False)
        assert isinstance(refused, Error) and refused.scim_type == "mutability", refused
        yield "another address is refused"

        ida = patch(ida, {"op": "replace", "path": "active", "value": False})
        assert not ida.active and login() == 403
        yield "deactivate"
        ida = patch(ida, {"op": "replace", "path": "active", "value": True})
        assert ida.active and login() == 200
        yield "reactivate"

        team = scim.create(Group(display_name="Team", external_id="g1", members=[{"value": ida.id}]))
        assert [it.value for it in team.members] == [ida.id]
        assert [it.value for it in scim.query(User, ida.id).groups] == [team.id]
        team = patch(team, {"op": "replace", "path": "displayName", "value": "Crew"})
        patch(team, {"op": "remove", "path": f'members[value eq "{ida.id}"]'})
        team = scim.query(Group, team.id)
        assert not team.members
        patch(team, {"op": "add", "path": "members", "value": [{"value": ida.id}]})
        team = scim.query(Group, team.id)
        assert (team.display_name, len(team.members)) == ("Crew", 1)
        yield "push a group"

        search = SearchRequest(filter=f'groups.value eq "{team.id}" and active eq true', count=10,
                               attributes=["userName"])
        assert [it.user_name for it in scim.search(User, search).resources] == [NAME]
        assert scim.search(SearchRequest(filter='displayName eq "crew"')).total_results == 1
        yield "search"
        done = scim.bulk(BulkRequest[User](operations=[
            BulkOperation[User](method="POST", path="/Users", bulk_id=it,
                                data=User(user_name=f"{it}@example.com")) for it in ("bob", "eve")
        ]))
        assert [int(it.status) for it in done.operations] == [201, 201], done
        yield "bulk"

        scim.delete(team)
        # The library sends the version it has read, and that of a person is another one once its groups are.
        stale = scim.delete(ida, raise_scim_errors=False)
        assert isinstance(stale, Error) and stale.status == 412, stale
        scim.delete(scim.query(User, ida.id))
        gone = scim.query(User, ida.id, raise_scim_errors=False)
        assert isinstance(gone, Error) and gone.status == 404 and login() == 404
        assert lookup(User, f'userName eq "{NAME}"').total_results == 0
        yield "delete"


main()
