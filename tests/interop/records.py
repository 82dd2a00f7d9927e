#!/usr/bin/env python3
"""Audit records of a served log, verified by code that shares nothing with Cairn: Python's standard library alone.

    python3 records.py URL VKEY PRODUCER_TOKEN AUDITOR_TOKEN    brings records to a server, reads them back, verifies them
    python3 records.py --saved VKEY FILE...                     verifies records that were saved with their proofs

Records are opened by the implementation beside the vectors (tests/vectors/record), made from docs/record.md. Here stands what
is around them: the signed note and the checkpoint of C2SP, the inclusion proof of RFC 9162 (section 2.1.3.2), and the saved
record of docs/record.md. Each thing that is verified is also changed, and has to be refused then.
"""

import base64
import copy
import hashlib
import json
import pathlib
import sys
import urllib.request

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "vectors" / "record"))

from ed25519 import is_signed  # noqa: E402
from making import leaf_hash  # noqa: E402
from opening import Opened, follow, read_leaf  # noqa: E402
from rules import Refused, check  # noqa: E402


class Key:
    """A log's verification key (C2SP signed-note, Verifier keys), of Ed25519."""

    def __init__(self, text):
        self.name, said, rest = text.split("+", 2)
        data = base64.b64decode(rest, validate=True)
        self.id = hashlib.sha256(self.name.encode() + b"\n" + data).digest()[:4]
        check(self.id.hex() == said and data[0] == 1 and len(data) == 33, "key")
        self.key = data[1:]


def head_of(note, key):
    """Size and root of a checkpoint that this key signed (C2SP tlog-checkpoint)."""
    body, _, signatures = note.rpartition("\n\n")
    text = (body + "\n").encode()
    good = False
    for line in signatures.splitlines():
        mark, name, rest = line.split(" ")
        data = base64.b64decode(rest, validate=True)
        if mark == "\u2014" and name == key.name and data[:4] == key.id:
            good = is_signed(key.key, text, data[4:])
            check(good, "checkpoint's signature")
    check(good, "checkpoint's signature")
    origin, size, root = body.split("\n")[:3]
    check(origin == key.name and str(int(size)) == size, "checkpoint")
    return int(size), base64.b64decode(root, validate=True)


def included(index, leaf, proof, size, root):
    """RFC 9162, section 2.1.3.2."""
    check(index < size, "inclusion")
    node, last, value = index, size - 1, hashlib.sha256(b"\0" + leaf).digest()
    for text in proof:
        check(last > 0, "inclusion")
        other = base64.b64decode(text, validate=True)
        if node & 1 or node == last:
            value = hashlib.sha256(b"\1" + other + value).digest()
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            value = hashlib.sha256(b"\1" + value + other).digest()
        node, last = node >> 1, last >> 1
    check(last == 0 and value == root, "inclusion")


def opened(body, key, size, root, erased):
    """A record of an answer, as docs/record.md, "A saved record", has it verified."""
    says, leaf = body["integrity"], body["leaf"].encode()
    included(says["index"], leaf, says["proof"], size, root)
    head = {"size": size, "root": base64.b64encode(root).decode()}
    check(says["log"] == key.name and says["leaf_hash"] == leaf_hash(leaf) and says["head"] == head, "integrity")
    check(says["key_id"] == key.id.hex(), "integrity")
    check(says["integrityHash"] == f"{key.name}::{key.id.hex()}::1::{leaf_hash(leaf)}", "integrity")
    record = Opened(leaf, body["disclosures"], body.get("withheld", []), erased, key.name, says["index"])
    if "before" in body:
        before = body["before"]
        included(before["index"], before["leaf"].encode(), before["proof"], size, root)
        event, server, _ = read_leaf(before["leaf"].encode())
        goes_on = event["log"] == key.name and server["stream"] == record.server["stream"]
        goes_on = goes_on and server["seq"] + 1 == record.server["seq"] and before["index"] < record.index
        check(goes_on and record.server["prev"] == leaf_hash(before["leaf"].encode()), "before")
        check(record.server["time"] >= server["time"], "before")
    return record


def redacted(redactions, key, size, root):
    """What redaction records of an answer say is erased, by the least index that says so."""
    erased = {}
    for body in redactions:
        record = opened(body, key, size, root, {})
        digests, *concerned = record.redacts(key.name, [])
        check(digests, "redaction")
        for digest in digests:
            named = digest, *concerned
            erased[named] = min(erased.get(named, record.index), record.index)
    return erased


def verified(answer, key):
    """The record of an answer, or the records of a page."""
    size, root = head_of(answer["checkpoint"], key)
    erased = redacted(answer.get("redactions", []), key, size, root)
    bodies = [answer["record"]] if "record" in answer else answer["records"]
    check(answer.get("complete_to", 0) <= size, "complete_to")
    return [opened(body, key, size, root, erased) for body in bodies]


def changes(answer):
    """The same answer, each time with another thing changed that must not be."""

    def changed(*path, to):
        other = copy.deepcopy(answer)
        *way, last = path
        place = other
        for step in way:
            place = place[step]
        place[last] = to(place[last])
        return "/".join(map(str, path)), other

    def flipped(text):
        """Another character in the middle; base64 stays base64."""
        middle = len(text) // 2
        return text[:middle] + ("A" if text[middle] != "A" else "B") + text[middle + 1:]

    def proof(hashes):
        return [flipped(hashes[0]), *hashes[1:]] if hashes else [base64.b64encode(bytes(32)).decode()]

    record, says = ("record",), ("record", "integrity")
    yield changed("checkpoint", to=lambda text: text.replace("\n", "0\n", 2))
    yield changed("checkpoint", to=lambda text: text[:-10] + flipped(text[-10:]))
    yield changed(*record, "leaf", to=lambda text: text.replace('"seq":', '"seq":1', 1))
    yield changed(*says, "index", to=lambda index: index + 1)
    yield changed(*says, "proof", to=proof)
    yield changed(*says, "proof", to=lambda hashes: [*hashes, base64.b64encode(bytes(32)).decode()])
    yield changed(*says, "leaf_hash", to=flipped)
    yield changed(*says, "log", to=lambda log: log + "x")
    for number, _ in enumerate(answer["record"]["disclosures"]):
        yield changed(*record, "disclosures", number, to=flipped)
        yield changed(*record, "disclosures", to=lambda all, n=number: all[:n] + all[n + 1:])
    for number, _ in enumerate(answer["record"].get("withheld", [])):
        yield changed(*record, "withheld", to=lambda all, n=number: all[:n] + all[n + 1:])
        yield changed(*record, "withheld", number, to=flipped)
    for number, _ in enumerate(answer.get("redactions", [])):
        yield changed("redactions", to=lambda all, n=number: all[:n] + all[n + 1:])
        yield changed("redactions", number, "leaf", to=lambda text: text.replace('"seq":', '"seq":1', 1))
        yield changed("redactions", number, "integrity", "index", to=lambda index: index - 1)
        yield changed("redactions", number, "integrity", "proof", to=proof)
        yield changed("redactions", number, "disclosures", to=lambda all: all[1:])
    if "before" in answer["record"]:
        yield changed(*record, "before", "leaf", to=lambda text: text.replace('"seq":', '"seq":1', 1))
        yield changed(*record, "before", "index", to=lambda index: index + 1)
        yield changed(*record, "before", "proof", to=proof)


def assert_each_change_is_refused(answer, key):
    count = 0
    for what, other in changes(answer):
        try:
            verified(other, key)
        except (Refused, ValueError, AttributeError, KeyError, IndexError, TypeError):
            count += 1
        else:
            sys.exit(f"a record was taken for good with {what} changed")
    return count


class Server:
    """The audit records of a cairnd."""

    def __init__(self, url):
        self.api = url.partition("/logs/")[0] + "/v1"

    def ask(self, token, path, body=None):
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(self.api + path, data, headers), timeout=30) as answer:
            return json.loads(answer.read())


OBJECT = {"tenant": "interop", "module": "m", "entity": "e", "id": "1"}


def records(first_id):
    """What is brought: a life in whole values, in fields, with a correction and with everything that a record can have."""
    yield {
        "id": first_id,
        "object": OBJECT | {"operation": "create", "category": "data", "action": "apply"},
        "actor": {"id": "a", "type": "user", "roles": ["R"], "on_behalf_of": {"id": "b"}},
        "subjects": ["person:1"],
        "context": {"reason": "first", "purpose": "why", "transaction": "T", "correlation": "c"},
        "values": {"whole": {"new": {"status": "NEW", "owner": "M\u00f6bius", "fee": 1200.50, "pin": [1, None]}}},
        "classification": {"values": {"/owner": "restricted", "/pin": "secret", "/status": "public"}},
        "attributes": {"channel": "web"},
        "external": [{"name": "plan.pdf", "size": 4, "sha256": hashlib.sha256(b"plan").hexdigest()}],
        "topics": ["interop"],
    }
    yield {"object": OBJECT | {"operation": "update"}, "values": {"fields": {"/status": {"old": "NEW", "new": "OLD"}}}}
    yield {"object": OBJECT | {"operation": "create"}, "replaces": first_id, "values": {"whole": {"new": {}}}}


def served(url, vkey, producer, auditor):
    server, key = Server(url), Key(vkey)
    first_id = "01939f5a-7c00-7a3b-8c4d-5e6f70819200"
    ids = [record["id"] for record in server.ask(producer, "/records", list(records(first_id)))["records"]]
    # Entries past them, so that proofs are longer than their tree.
    server.ask(producer, "/records", [{"object": OBJECT | {"id": str(n), "operation": "create"}} for n in range(2, 40)])
    refused = 0
    for record_id in ids:
        for token in [auditor, producer]:
            answer = server.ask(token, f"/records/{record_id}?proof=1")
            [record] = verified(answer, key)
            assert record.event["id"] == record_id
            refused += assert_each_change_is_refused(answer, key)
            withheld = [place for place, became in record.shown.items() if became == "withheld"]
            is_first = record_id == first_id
            assert withheld == (["values /owner", "values /pin"] if token == producer and is_first else []), withheld
    history = verified(server.ask(auditor, "/streams/entity/interop/m/e/1?proof=1"), key)
    follow(history)
    assert [record.event["id"] for record in history] == ids and history[2].event["replaces"] == ids[0]
    found = verified(server.ask(auditor, "/records?tenant=interop&limit=500&proof=1"), key)
    assert len(found) == len(ids) + 38
    print(f"{2 * len(ids) + len(history) + len(found)} records verified, {refused} changed ones refused")


def saved(vkey, files):
    for file in files:
        answer = json.loads(pathlib.Path(file).read_bytes())
        try:
            [record] = verified(answer, Key(vkey))
        except Refused as refused:
            sys.exit(f"{file}: not verified: {refused}")
        refused = assert_each_change_is_refused(answer, Key(vkey))
        print(f"{file}: {record.event['id']} is entry {record.index}; {refused} changed ones refused")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--saved"] and len(sys.argv) > 3:
        saved(sys.argv[2], sys.argv[3:])
    elif len(sys.argv) == 5:
        served(*sys.argv[1:])
    else:
        sys.exit(__doc__)
