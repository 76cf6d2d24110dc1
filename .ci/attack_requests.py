"""What a client with a token sends to hurt others, and the files it needs for that.

Each attack is bounded by its target's time alone; attack_tokens.py starts, measures and ends it.
"""

import collections
import http.client
import itertools
import json
import random
import threading
import time
import urllib.parse

from attack import Target, hold, in_threads
from plumm import BULK, GROUP, patch, user

ANSWER_SECONDS_MAX = 60
SEARCH = "urn:ietf:params:scim:api:messages:2.0:SearchRequest"
# An extension that no schema describes: its members are kept as they are sent.
FOREIGN = "urn:example:attack:1.0"
USERS, GROUP_MEMBERS = 200, 20_000
LARGE_ACCOUNTS, NESTED_USERS, NESTED_GROUPS, MEMBERS_OF_FOREIGN = 400, 1_000, 3_000, 26_000
LARGE_GROUPS, DENSE_GROUPS = 60, 600
# Long values, and lines of the record that are as long as one can be, of values that are short.
LONG_ACCOUNTS, LONG_BYTES, WIDE_CHANGES, WIDE_VALUES = 80, 400_000, 300, 1_700
MIB = 1 << 20


# The files that attacks begin with. Each is made by ordinary requests, small enough for any limit.

def in_bulk(client, operations, count):
    """Does the operations, so many at a time; returns the ids of what they created."""
    ids = []
    for start in range(0, len(operations), count):
        body = {"schemas": [BULK], "Operations": operations[start:start + count]}
        answer = client.call("POST", "/Bulk", body, [200])[1]
        for it in answer["Operations"]:
            assert it["status"] in ("200", "201"), it
            ids.append(it["location"].rsplit("/", 1)[1])
    return ids


def create(kind, name, data):
    return {"method": "POST", "path": f"/{kind}", "bulkId": name, "data": data}


def some_users(client, count, tag):
    """All of them with one displayName, which need not be unique."""
    names = [f"{tag}-{number}@example.com" for number in range(count)]
    data = [{**user(it, f"title of {it}"), "displayName": "same"} for it in names]
    return in_bulk(client, [create("Users", it["userName"], it) for it in data], 250)


def empty_groups(client, count):
    names = [f"group {number}" for number in range(count)]
    data = [{"schemas": [GROUP], "displayName": it} for it in names]
    return in_bulk(client, [create("Groups", it["displayName"], it) for it in data], 100)


def add_members(client, group, ids):
    for start in range(0, len(ids), 1000):
        values = [{"value": it} for it in ids[start:start + 1000]]
        body = patch({"op": "add", "path": "members", "value": values})
        client.call("PATCH", f"/Groups/{group}", body, [200])


def fill_small(client):
    return {"users": some_users(client, USERS, "a")}


def fill_crowd(client):
    """Very many accounts, all of them in one group."""
    ids = some_users(client, GROUP_MEMBERS, "a")
    [group] = empty_groups(client, 1)
    add_members(client, group, ids)
    large = {**user("large@example.com", "large"), FOREIGN: {"text": "x" * 1_000_000}}
    large = client.call("POST", "/Users", large, [201])[1]["id"]
    return {"users": ids[:USERS], "group": group, "large": large}


def fill_large_groups(client):
    """Everybody in many groups."""
    ids = some_users(client, GROUP_MEMBERS, "a")
    for it in empty_groups(client, LARGE_GROUPS):
        add_members(client, it, ids)
    return {}


def fill_dense(client):
    """Groups that are all in each other; in the first one there are accounts as well."""
    users, groups = some_users(client, USERS, "a"), empty_groups(client, DENSE_GROUPS)
    add_members(client, groups[0], users)
    for group in groups:
        add_members(client, group, [it for it in groups if it != group])
    return {"users": users}


def fill_values(client):
    """Accounts with as many values as one may have."""
    emails = [{"value": f"a{number}@example.com", "type": "work"} for number in range(1000)]
    roles = [{"value": f"role {number:04}"} for number in range(1000)]
    wide = {f"a{number}": number for number in range(MEMBERS_OF_FOREIGN)}
    made = {}
    for name, more in [("emails", {"emails": emails}), ("roles", {"roles": roles}),
                       ("foreign", {FOREIGN: wide})]:
        body = {**user(f"{name}@example.com", "values"), **more}
        made[name] = client.call("POST", "/Users", body, [201])[1]["id"]
    return made


def fill_large(client):
    """Accounts of almost 1 MiB."""
    text = "x" * (1_000_000)
    for number in range(LARGE_ACCOUNTS):
        client.call("POST", "/Users", user(f"a-{number}@example.com", text), [201])
    return {}


def fill_long(client):
    """Accounts of 400 KB, and lines of the record with very many values each."""
    text = "x" * LONG_BYTES
    for number in range(LONG_ACCOUNTS):
        long = client.call("POST", "/Users", user(f"a-{number}@example.com", text), [201])[1]["id"]
    wide = client.call("POST", "/Users", user("wide@example.com", "wide"), [201])[1]["id"]
    for number in range(WIDE_CHANGES):
        values = {f"a{it}": number % 7 for it in range(WIDE_VALUES)}
        body = patch({"op": "replace", "path": FOREIGN, "value": values})
        client.call("PATCH", f"/Users/{wide}", body, [200])
    return {"wide": wide, "long": long}


def fill_nested(client):
    """Accounts in a group that is in a group that is in a group, and so on."""
    users = some_users(client, NESTED_USERS, "a")
    inner = None
    for start in range(0, NESTED_GROUPS, 100):
        operations = []
        for number in range(start, start + 100):
            data = {"schemas": [GROUP], "displayName": f"group {number}"}
            if inner is not None:
                data["members"] = [{"value": inner}]
            operations.append(create("Groups", f"g{number}", data))
            inner = f"bulkId:g{number}"
        inner = in_bulk(client, operations, len(operations))[-1]
        if start == 0:
            name = urllib.parse.quote('displayName eq "group 0"')
            found = client.call("GET", f"/Groups?attributes=id&filter={name}", None, [200])[1]
            add_members(client, found["Resources"][0]["id"], users)
    return {}


def fill_all(client):
    """What most attacks need, in one file."""
    known = fill_crowd(client) | fill_values(client)
    text = "x" * 1_000_000
    for number in range(20):
        long = client.call("POST", "/Users", user(f"l-{number}@example.com", text), [201])[1]["id"]
    return known | {"long": long}


# The attacks.

class TokenTarget(Target):
    """Whom to attack with a token, with which ids; each answer is noted in a file."""

    def __init__(self, address, ends, known, notes):
        super().__init__(address, known["token"], ends)
        self.known, self.notes = known, notes

    def note(self, status, seconds):
        # One short write to a file that is appended to stays whole among many writers.
        with open(self.notes, "a", encoding="ascii") as notes:
            notes.write(f"{seconds:.3f} {status}\n")

    def head(self, method, path, length=0):
        return (f"{method} /scim/v2{path} HTTP/1.1\r\nHost: {self.address[0]}\r\n"
                f"Authorization: Bearer {self.token}\r\nContent-Length: {length}\r\n"
                "Content-Type: application/scim+json\r\n\r\n").encode()

    def send(self, method, path, body=None):
        """One request on a connection of its own; the answer is read and thrown away."""
        data = b"" if body is None else body if isinstance(body, bytes) else encoded(body)
        connection = http.client.HTTPConnection(*self.address, timeout=ANSWER_SECONDS_MAX)
        status, begun = "no answer", time.monotonic()
        try:
            headers = {"Authorization": f"Bearer {self.token}",
                       "Content-Type": "application/scim+json"}
            connection.request(method, "/scim/v2" + path, data, headers)
            answer = connection.getresponse()
            if path == "/Bulk" and answer.status == 200:
                inner = json.loads(answer.read())["Operations"]
                status = collections.Counter(it["status"] for it in inner).most_common(1)[0][0]
                status = f"200 with {status}"
            else:
                while answer.read(MIB):
                    pass
                status = answer.status
        finally:
            connection.close()
            self.note(status, time.monotonic() - begun)


def encoded(body):
    return json.dumps(body, separators=(",", ":")).encode()


def bulk_of(operations):
    return encoded({"schemas": [BULK], "Operations": operations})


def patches(path, data, count):
    return [{"method": "PATCH", "path": path, "data": data}] * count


def again(make, count=1):
    """The same request without a pause, on so many connections: method, path and body."""
    def attack(target):
        request = make(target.known)
        in_threads(count, lambda it: it.send(*request))(target)
    return attack


def ever_new(make, count=1):
    """A request after the other, on so many connections, each made from its number."""
    def attack(target):
        numbers = itertools.count()
        in_threads(count, lambda it: it.send(*make(it.known, next(numbers))))(target)
    return attack


def both(one, other):
    def attack(target):
        thread = threading.Thread(target=one, args=[target])
        thread.start()
        other(target)
        thread.join()
    return attack


def member_filters(known):
    removals = [{"op": "remove", "path": f'members[display eq "nobody {number}"]'}
                for number in range(20)]
    return "POST", "/Bulk", bulk_of(patches(f"/Groups/{known['group']}", patch(*removals), 1000))


def value_filters(known):
    """The longest filters on the most values, as many as one PATCH and one Bulk take."""
    terms = " or ".join(f'value co "z{number}"' for number in range(499))
    removals = [{"op": "remove", "path": f"roles[{terms}]"}] * 50
    return "POST", "/Bulk", bulk_of(patches(f"/Users/{known['roles']}", patch(*removals), 15))


def nulls(known):
    """Takes out all members of a large extension, one by one; the last operation has it undone."""
    gone = {FOREIGN: dict.fromkeys((f"a{number}" for number in range(MEMBERS_OF_FOREIGN)))}
    data = patch({"op": "replace", "value": gone}, {"op": "remove", "path": "active"})
    return "POST", "/Bulk", bulk_of(patches(f"/Users/{known['foreign']}", data, 7))


def wanted(count):
    def make(_):
        names = [f"urn:x:y:a{number}" for number in range(count)]
        return "POST", "/Users/.search", encoded(
            {"schemas": [SEARCH], "attributes": names, "count": 1000})
    return make


def listing(count):
    return lambda _: ("GET", f"/Users?count={count}")


def unread_answers(target):
    """Ten clients ask for 20 MB each and never read; each asks again when it is cut off."""
    hold(target, 10, target.head("GET", "/Users?count=20"))


def with_threads(threads, meanwhile=lambda: None, pause=0):
    """Starts them one after the other, and waits for them."""
    for it in threads:
        it.start()
        time.sleep(pause)
    meanwhile()
    for it in threads:
        it.join()


def unread_pages(target):
    """The longest pages and the longest story, asked for by far more clients than read them."""
    def unread(path, token, count):
        asks = (f"GET {path} HTTP/1.1\r\nHost: {target.address[0]}\r\n"
                f"Authorization: Bearer {token}\r\n\r\n").encode()
        return threading.Thread(target=hold, args=[target, count, asks])

    admin = target.known["admin"]
    unread_by = [unread("/scim/v2/Users?count=1000", target.token, 120),
                 unread("/admin/api/activity?limit=100", admin, 10),
                 unread("/admin/api/activity.csv", admin, 10)]
    with_threads(unread_by, lambda: again(listing(1000), 6)(target))


def unread_changes(target):
    """The same pages, and then changes of large accounts by clients that do not read the answers."""
    pages = target.head("GET", f"/Users?count={LONG_ACCOUNTS}")
    data = encoded(patch({"op": "replace", "path": "title", "value": "x" * (LONG_BYTES - 1)}))
    path = f"/Users/{target.known['long']}"
    change = target.head("PATCH", path, len(data)) + data
    short = encoded(patch({"op": "replace", "path": "active", "value": True}))
    same = target.head("PATCH", path, len(short)) + short
    threads = [threading.Thread(target=hold, args=[target, count, opening])
               for count, opening in ((120, pages), (40, change), (260, same))]
    with_threads(threads, pause=2)


def small_objects(_):
    """99,000 objects of seven bytes, in an attribute that nobody knows."""
    body = encoded(user("objects@example.com", "new"))
    return "POST", "/Users", body[:-1] + b',"x":[' + b",".join([b'{"":0}'] * 99_000) + b"]}"


def one_value(known, number):
    """Changes one e-mail entry in each operation, each time to something else."""
    def operation(entry):
        path = f'emails[value eq "a{entry}@example.com"].display'
        data = patch({"op": "replace", "path": path, "value": str(number)})
        return patches(f"/Users/{known['emails']}", data, 1)[0]
    return "POST", "/Bulk", bulk_of([operation(it) for it in range(1000)])


def one_member(known, number):
    """Changes one member of an extension of 1 MB in each of 200 operations."""
    def operation(entry):
        value = f"{number} {entry}"
        data = patch({"op": "replace", "path": f"{FOREIGN}:n", "value": value})
        return patches(f"/Users/{known['large']}", data, 1)[0]
    return "POST", "/Bulk", bulk_of([operation(it) for it in range(200)])


def new_title(known, number):
    at = f"/Users/{known['users'][number % USERS]}"
    return "PATCH", at, patch({"op": "replace", "path": "title", "value": f"{number}"})


def new_name(known, number):
    """Has all members of the group in the answer, which is made within the change."""
    data = patch({"op": "replace", "path": "displayName", "value": f"{number}"})
    return "PATCH", f"/Groups/{known['group']}?attributes=members", data


def one_user(known):
    return "GET", f"/Users/{known['users'][0]}"


def equal_names(_):
    """What an index leads to, and yet very many accounts."""
    terms = " or ".join(f'title co "{number}zz"' for number in range(495))
    body = {"schemas": [SEARCH], "filter": f'displayName eq "same" and ({terms})', "count": 1}
    return "POST", "/Users/.search", encoded(body)


def other_shapes(_, number):
    """A filter that none before it was like: its statement is prepared, and kept."""
    chance, terms = random.Random(number), []
    for _ in range(160):
        term = chance.choice(['emails[type eq "a" and not (value co "b")]',
                              'phoneNumbers[type eq "a" or value ne "b"]',
                              'urn:x:y:z[a ne "a" and b ne "b"]'])
        terms.append(chance.choice([term, f"not ({term})"]))
    text = f'userName eq "a-1@example.com" and ({" or ".join(terms)})'
    return "POST", "/Users/.search", encoded({"schemas": [SEARCH], "filter": text, "count": 1})


def names_in_text(_):
    """One text of 700,000 names, which counts as one value."""
    names = ",".join(f"a:b:c{number}" for number in range(700_000))
    body = {"schemas": [SEARCH], "attributes": names, "count": 1}
    return "POST", "/Users/.search", encoded(body)


def names_in_url(_):
    names = ",".join(f"a:b:{number}" for number in range(1700))
    return "GET", f"/Users?count=1000&attributes={names}"


def slashes(_):
    """One text of 8 MiB, which is looked through for references, segment by segment."""
    data = {"$ref": "/" * (8 * MIB - 1000)}
    return "POST", "/Bulk", bulk_of([create("Users", "x", data)])


def versions(known):
    """One precondition with eight million versions."""
    [operation] = patches(f"/Users/{known['users'][0]}", new_title(known, 0)[2], 1)
    return "POST", "/Bulk", bulk_of([{**operation, "version": "," * (8 * MIB - 1000)}])


def circle(_):
    """Groups that refer to each other, as many as one Bulk can hold."""
    names = [f"g{number}" for number in range(310)]
    members = {it: [{"value": f"bulkId:{other}"} for other in names if other != it] for it in names}
    return "POST", "/Bulk", bulk_of([create("Groups", it, {
        "schemas": [GROUP], "displayName": it, "members": members[it]}) for it in names])


def long_filter(_):
    terms = " or ".join(f'title co "{number}zz"' for number in range(499))
    body = {"schemas": [SEARCH], "filter": terms, "count": 1}
    return "POST", "/Users/.search", encoded(body)


def announced_bodies(target):
    """Without a token: half of 8 MiB, and then a byte a second."""
    head = (f"POST /scim/v2/Users HTTP/1.1\r\nHost: h\r\nContent-Length: {8 * MIB}\r\n\r\n")
    hold(target, 40, memoryview(head.encode() + b"[" * (4 * MIB + 65536)), b"[")


def slow_bodies(target):
    """The same with a token, and then smaller ones for what room the larger ones leave."""
    def of(size, count):
        opening = target.head("POST", "/Users", size) + b"[" * (size // 2 + 8192)
        return threading.Thread(target=hold, args=[target, count, memoryview(opening), b"["])

    with_threads([of(8 * MIB, 12), of(MIB, 20), of(MIB // 8, 30)], pause=3)


# With what file, what is done, and for how many times as long as the others.
ATTACKS = {
    "none": (fill_small, lambda target: None),
    "bulk-member-filters": (fill_crowd, again(member_filters)),
    "bulk-value-filters": (fill_values, again(value_filters)),
    "bulk-nulls": (fill_values, again(nulls)),
    "attributes-8x15000": (fill_crowd, again(wanted(15_000), 8)),
    "attributes-150000": (fill_crowd, again(wanted(150_000))),
    "large-accounts": (fill_large, again(listing(1000))),
    "nested-groups": (fill_nested, again(listing(1000)), 2),
    "unread-answers": (fill_large, unread_answers),
    "unread-pages": (fill_long, unread_pages, 2),
    "unread-changes": (fill_long, unread_changes, 2),
    "small-objects-24": (fill_small, again(small_objects, 24)),
    "small-objects-64": (fill_small, again(small_objects, 64)),
    "bulk-one-value": (fill_values, ever_new(one_value)),
    "long-filters": (fill_crowd, again(long_filter, 24)),
    "announced-bodies": (fill_small, announced_bodies),
    "slow-bodies": (fill_small, slow_bodies, 2),
    "waiting-writers": (fill_crowd, both(again(member_filters), ever_new(new_title, 64))),
    "equal-names": (fill_crowd, again(equal_names, 8)),
    "names-in-url": (fill_crowd, again(names_in_url, 64)),
    "names-in-text": (fill_small, again(names_in_text, 8)),
    "large-group": (fill_crowd, again(lambda it: ("GET", f"/Groups/{it['group']}"), 128)),
    "large-groups": (fill_large_groups, again(lambda _: ("GET", "/Groups?count=1000"))),
    "members-in-answers": (fill_crowd, ever_new(new_name, 64)),
    "dense-groups-read": (fill_dense, again(one_user, 16)),
    "dense-groups-write": (fill_dense, ever_new(new_title, 16)),
    "bulk-one-member": (fill_crowd, ever_new(one_member)),
    "log-behind-reads": (fill_crowd, both(again(equal_names, 3), ever_new(one_member))),
    "bulk-slashes": (fill_small, again(slashes, 8)),
    "bulk-versions": (fill_small, again(versions, 8)),
    "bulk-circle": (fill_small, again(circle)),
    "other-shapes": (fill_crowd, ever_new(other_shapes, 16)),
}
# All of them at once, each in a process of its own.
ATTACKS["all"] = (fill_all, [attack for _, attack, *_ in ATTACKS.values()])
