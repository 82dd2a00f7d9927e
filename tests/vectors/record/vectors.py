"""The records that record.py makes vectors of: different parts, forms, places in a stream, signed and not."""

import json

from ed25519 import public_key, sign
from making import digest_of
from rules import b64u, canonical, unb64u

LOG = "log.example/logs/licences"
OTHER = "log.example/logs/zölle"
# RFC 8037, appendix A.1.
SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"
KEY = public_key(bytes.fromhex(SEED)).hex()
BY = "3q2-796tvu_erb7v3q2-7w"

CREATED = """{
  "id": "01939f5a-7c00-7a3b-8c4d-5e6f708192a3",
  "time": "2026-11-22T06:50:29.123456Z",
  "object": {"tenant": "pb.amritsar", "module": "tl", "entity": "license", "id": "PB-TL-2026-000017",
             "operation": "create", "category": "data", "action": "apply"},
  "actor": {"id": "8a1f", "type": "user", "roles": ["CITIZEN", "OWNER"],
            "on_behalf_of": {"id": "shop-17", "type": "organisation"}},
  "subjects": ["person:4711"],
  "context": {"reason": "first application", "purpose": "licensing", "transaction": "TX-1",
              "correlation": "c-99", "traceparent": "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
              "tracestate": "vendor=1"},
  "values": {"schema": {"uri": "https://schemas.example/tl/license", "version": "3"},
             "whole": {"new": {"status": "APPLIED", "fee": 1200.50, "owner": "Möbius", "phone": null, "units": [1, 2]}}},
  "classification": {"values": {"/owner": "restricted", "/phone": "secret", "/status": "public"},
                     "attributes": {"ip": "restricted"}},
  "attributes": {"channel": "web", "ip": "192.0.2.7"},
  "external": [{"name": "plan.pdf", "size": 48213, "media_type": "application/pdf",
                "sha256": "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"}]
}
"""

CHANGED = r"""{
  "id": "01939f5a-7d00-7b3b-9c4d-5e6f708192a4",
  "time": "2026-11-22T07:00:00.000001Z",
  "object": {"tenant": "pb.amritsar", "module": "tl", "entity": "license", "id": "PB-TL-2026-000017",
             "operation": "update"},
  "values": {"fields": {
    "/status": {"old": "APPLIED", "new": "APPROVED"},
    "/fee": {"old": 1200.50, "new": 1.2005E+3},
    "/phone": {"old": null},
    "/note~1s/0": {"new": "tab\tand \u00fc \ud83d\ude00"}
  }},
  "classification": {"default": "restricted", "values": {"/status": "public"}}
}
"""

CORRECTED = """{
  "id": "5f0c0f43-6a3f-4b8e-9a5d-0d3a3f1f7c11",
  "time": "2026-11-22T07:05:00.500000Z",
  "replaces": "01939f5a-7d00-7b3b-9c4d-5e6f708192a4",
  "object": {"tenant": "pb.amritsar", "module": "tl", "entity": "license", "id": "PB-TL-2026-000017",
             "operation": "update", "row": "1"},
  "context": {"reason": "wrong fee"},
  "values": {"whole": {"old": {"status": "APPLIED", "address": {"city": "Amritsar", "pin": "143001"}, "gone": {}},
                       "new": {"status": "APPROVED", "address": {"city": "Amritsar", "street": "Mall Road"}, "fee": 12}}},
  "classification": {"values": {"/address": "internal", "/address/street": "secret", "/fee": "public"}}
}
"""

NAMED = """{
  "id": "01939f5a-7f00-7c3b-ac4d-5e6f708192a5",
  "time": "1999-12-31T23:59:59.999999Z",
  "object": {"tenant": "pb", "module": "gate", "entity": "door", "id": "north \\"gate\\"", "operation": "door.opened"},
  "context": {"stream": "doors"}
}
"""


def redacted(previous):
    digest = named_digest(previous["licence-created"], "values", "/owner")
    new = {"digests": [digest], "index": 0}
    return f"""{{
  "id": "01939f5a-8000-7d3b-bc4d-5e6f708192a6",
  "time": "2026-11-23T00:00:00.000000Z",
  "object": {{"tenant": "pb.amritsar", "module": "cairn", "entity": "redaction",
             "id": "01939f5a-7c00-7a3b-8c4d-5e6f708192a3", "operation": "record.redaction"}},
  "values": {{"whole": {{"new": {json.dumps(new)}}}}},
  "classification": {{"default": "public"}}
}}
"""


def named_digest(record, part, field=None):
    """The digest of a part, or of a field of one."""
    texts = {digest_of(text): text for text in record["disclosures"]}
    parts = json.loads(record["leaf"].split(b"\n")[1])
    if part == "stream":
        return parts["server"]["stream"]
    if part in parts["server"]:
        return parts["server"][part][0]["..."]
    digest = parts["event"][part][0]["..."]
    if field is None:
        return digest
    _, value = json.loads(unb64u(texts[digest]))
    groups = value.get("whole") or value.get("fields") or value.get("named")
    return next(group[field] for group in groups.values() if field in group)[0]["..."]


CASES = {
    "licence-created": {
        "record": lambda _: CREATED,
        "log": LOG,
        "by": BY,
        "server_time": "2026-11-22T06:50:29.200000Z",
        "opening": {
            "stream": ["entity", "pb.amritsar", "tl", "license", "PB-TL-2026-000017"],
            "topics": None,
            "continues": None,
        },
    },
    "licence-changed": {
        "record": lambda _: CHANGED,
        "log": LOG,
        "by": BY,
        "server_time": "2026-11-22T07:00:00.000000Z",
        "follows": "licence-created",
        "wants_its_place": True,
        "seed": SEED,
    },
    "licence-corrected": {
        "record": lambda _: CORRECTED,
        "log": LOG,
        "by": BY,
        "server_time": "2026-11-22T07:05:01.000000Z",
        "follows": "licence-changed",
    },
    "doors": {
        "record": lambda _: NAMED,
        "log": OTHER,
        "wants": None,
        "by": "AAAAAAAAAAAAAAAAAAAAAA",
        "server_time": "2000-01-01T00:00:00.000000Z",
        "opening": {
            "stream": ["named", "pb", "doors"],
            "topics": ["access", "zutritt ü"],
            "continues": {
                "leaf": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
                "log": LOG,
                "seq": 9007199254740991,
                "stream": "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU",
            },
        },
    },
    "owner-redacted": {
        "record": redacted,
        "log": LOG,
        "by": BY,
        "server_time": "2026-11-23T00:00:00.000000Z",
        "opening": {
            "stream": ["entity", "pb.amritsar", "cairn", "redaction", "01939f5a-7c00-7a3b-8c4d-5e6f708192a3"],
            "topics": None,
            "continues": None,
        },
    },
}


def case(name, record="licence-created", index=0, left_out=(), added=(), withheld=(), redactions=(), changed=None, log=None,
         keys=(KEY,), successors=()):
    """A record that is opened, with what is changed in it; `keys` are the producers' that are known."""
    return {
        "name": name,
        "record": record,
        "index": index,
        "left_out": list(left_out),
        "added": list(added),
        "withheld": list(withheld),
        "redactions": list(redactions),
        "changed": changed,
        "log": log,
        "keys": list(keys),
        "successors": list(successors),
    }


def openings(previous):
    created, changed = previous["licence-created"], previous["licence-changed"]
    owner = named_digest(created, "values", "/owner")
    phone = named_digest(created, "values", "/phone")
    values = named_digest(created, "values")
    topics = named_digest(created, "topics")
    fields = [named_digest(created, "values", f"/{name}") for name in ["fee", "owner", "phone", "status", "units"]]
    line = json.loads(changed["leaf"].split(b"\n")[1])
    bare = b64u(sign(bytes.fromhex(SEED), canonical(line["event"]).encode()))
    signed = dict(record="licence-changed", index=1)
    key, signature = f',"key":"{line["event"]["key"]}"', f',"signature":"{line["signature"]}"'
    redaction = [case("", record="owner-redacted", index=5)]

    return [
        case("all is there"),
        case("all of a signed one is there", record="licence-changed", index=1),
        case("all of a correction is there", record="licence-corrected", index=2),
        case("a named stream with topics that continues another", record="doors"),
        case("a redaction record", record="owner-redacted", index=5),
        case("a field is withheld", left_out=[phone], withheld=[phone]),
        case("a field is erased", left_out=[owner], redactions=redaction),
        case("a field is erased, another withheld", left_out=[owner, phone], withheld=[phone], redactions=redaction),
        case("the values are withheld, and so their fields", left_out=[values, *fields], withheld=[values]),
        case("the topics are withheld", left_out=[topics], withheld=[topics]),
        case("the name of the stream comes with a later record", record="licence-changed", index=1,
             added=[created["disclosures"][-3]]),
        case("a field is gone and nobody says why", left_out=[phone]),
        case("a part is gone and nobody says why", left_out=[values, *fields]),
        case("an absent part must be shown as absent", record="licence-changed", index=1,
             left_out=[named_digest(changed, "actor")]),
        case("the redaction record is of another index", index=6, left_out=[owner], redactions=redaction),
        case("the redaction record is of another id", left_out=[owner], redactions=redaction,
             changed=['"id":"01939f5a-7c00', '"id":"01939f5a-7c01']),
        case("what is erased is there all the same", redactions=redaction),
        case("the whole record is in another log", log=OTHER),
        case("a signed record is in another log", record="licence-changed", index=1, log=OTHER),
        case("the redaction record names another digest", left_out=[phone], redactions=redaction),
        case("a field is erased, and said to be withheld", left_out=[owner], withheld=[owner], redactions=redaction),
        case("a field is erased twice", left_out=[owner], redactions=[case("", record="owner-redacted", index=7), *redaction]),
        case("a record of another version", changed=["cairn.record/1", "cairn.record/2"]),
        case("a time with seven digits", changed=["29.123456Z", "29.1234567Z"]),
        case("a day that there is not", changed=["2026-11-22T06:50:29.1", "2026-02-29T06:50:29.1"]),
        case("a pseudonym with stray bits", changed=[f'"by":"{BY}', f'"by":"{BY[:-1]}x']),
        case("an origin with a tab", changed=[f'"log":"{LOG}', f'"log":"{LOG}\\t']),
        case("a field whose part is withheld", left_out=[values], withheld=[values]),
        case("a disclosure of another record", added=[changed["disclosures"][0]]),
        case("withheld and disclosed at once", withheld=[phone]),
        case("withheld, but of another record", withheld=[named_digest(changed, "actor")]),
        case("a signed one, by a key that is not known", **signed, keys=[]),
        case("a signed one, and another key is known", **signed, keys=[public_key(bytes(32)).hex()]),
        case("a signature of nothing", **signed, changed=[line["signature"], "A" * 86]),
        case("a signature of nothing, by a key that is not known", **signed, changed=[line["signature"], "A" * 86], keys=[]),
        case("a signature of the event's JSON alone", **signed, changed=[line["signature"], bare]),
        case("a signature of another time", **signed, changed=[line["event"]["time"], "2026-11-22T07:00:00.000002Z"]),
        case("the signature is gone", record="licence-changed", index=1, changed=[signature, ""]),
        case("the key is gone", record="licence-changed", index=1, changed=[key, ""]),
        case("a signature that no key is named for", changed=["}}\n", "}" + signature + "}\n"]),
        case("after another record than was wanted", record="licence-changed", index=1,
             changed=['"prev":"' + created["leaf_hash"], '"prev":"' + changed["leaf_hash"]]),
        case("after the first record, which was wanted to be the first", record="doors",
             changed=['"after":null', '"after":{"leaf":"' + created["leaf_hash"] + '","seq":0}']),
    ]
