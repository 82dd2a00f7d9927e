#!/usr/bin/env python3
"""Another implementation of docs/record.md, out of Python's standard library alone; it shares no code with Cairn.

    python3 record.py           checks every vector in this folder
    python3 record.py make      writes them again, from the tables in vectors.py, forged.py, edges.py and lives.py

What it is for: to prove that the format can be implemented from its description, and to make the vectors without the
code that is tested with them. It is no library: its Ed25519 is slow and not constant-time.

rules.py has what holds for texts and disclosures, making.py makes records, opening.py opens them and follows streams,
replay.py replays them, ed25519.py verifies signatures.
"""

import hashlib
import json
import pathlib
import sys

import edges
import replay
from ed25519 import is_signed, public_key
from making import build, digest_of, leaf_hash, seal, signed_bytes, thumbprint
from opening import Later, Opened, follow
from rules import CLASSES, Refused, b64u, canonical, scan, unb64u
from rules import check as check_that

HERE = pathlib.Path(__file__).parent


def file(name, kind):
    return HERE / f"{name}.{kind}"


def load(name):
    case = json.loads(file(name, "case.json").read_text())
    record, _, _ = scan(file(name, "record.json").read_text())
    return case, record


def read(name):
    return json.loads((HERE / name).read_text())


def write(name, value):
    (HERE / name).write_text(json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def check():
    names = sorted(path.name.removesuffix(".case.json") for path in HERE.glob("*.case.json"))
    assert len(names) >= 5
    for name in names:
        case, record = load(name)
        leaf, disclosures = build(case, record)
        assert file(name, "leaf").read_bytes() == leaf, name
        assert file(name, "disclosures").read_text() == "".join(text + "~" for text in disclosures), name
        assert case["leaf_hash"] == leaf_hash(leaf), name
        if "seed" in case:
            parts = json.loads(leaf.split(b"\n")[1])
            key = public_key(bytes.fromhex(case["seed"]))
            assert case["public_key"] == key.hex() and parts["event"]["key"] == thumbprint(key)
            message = signed_bytes(canonical(parts["event"]))
            assert is_signed(key, message, unb64u(parts["signature"])), name
            for other in [message + b" ", message.split(b"\n")[1]]:
                assert not is_signed(key, other, unb64u(parts["signature"])), name
    counts = [f"{len(names)} records"]
    for kind, outcome in OUTCOMES.items():
        cases = read(f"{kind}.json")
        counts.append(f"{len(cases)} {kind}")
        for case in cases:
            assert outcome(case) == case["outcome"], (kind, case["name"], outcome(case))
    print(f"{', '.join(counts)}: as published")


def changed(leaf, change):
    """The leaf with some texts, each before what is in its place, which stood in it once."""
    texts = [text.encode() for text in change or []]
    for old, new in zip(texts[::2], texts[1::2]):
        assert leaf.count(old) == 1
        leaf = leaf.replace(old, new)
    return leaf


def opened(given):
    """A record of this folder with what is changed in it, opened."""
    name = given["record"]
    disclosures = [text for text in file(name, "disclosures").read_text().split("~") if text]
    disclosures = [text for text in disclosures if digest_of(text) not in given["left_out"]] + given["added"]
    leaf = changed(file(name, "leaf").read_bytes(), given["changed"])
    log = given["log"] or load(name)[0]["log"]
    if not leaf.startswith(b"cairn.record/1\n"):
        return Later(leaf, given["index"])
    erased = {}
    for redaction in map(opened, given["redactions"]):
        digests, *concerned = redaction.redacts(log, given["successors"])
        for digest in digests:
            key = digest, *concerned
            erased[key] = min(erased.get(key, redaction.index), redaction.index)
    return Opened(leaf, disclosures, given["withheld"], erased, log, given["index"])


def opening_outcome(given):
    try:
        record = opened(given)
        check_that(isinstance(record, Opened), "leaf")
        producer = record.producer([bytes.fromhex(key) for key in given["keys"]])
    except Refused as refused:
        return f"refused: {refused}"
    shown = record.shown | {"producer": producer}
    if "withheld" in shown.values():
        shown["withheld only above"] = [up_to for up_to in [None, *CLASSES] if record.withheld_only_above(up_to)]
    return shown


def stream_outcome(given):
    records = [opened(record) for record in given["records"]]
    try:
        follow(records)
    except Refused as refused:
        return f"refused: {refused}"
    return "good"


def edge_outcome(given):
    signature = unb64u(given["signature"])
    return edges.outcome(given | {"signature": signature}, is_signed, signed_bytes)


OUTCOMES = {
    "openings": opening_outcome,
    "streams": stream_outcome,
    "signatures": edge_outcome,
    "replays": replay.outcome,
}


def salts(name, count):
    """Anybody can compute these: they keep nothing secret."""
    return [b64u(hashlib.sha256(f"{name} salt {number}".encode()).digest()[:16]) for number in range(count)]


def event_of(key, number):
    """An event that names a key, another one for each number."""
    place = lambda part: [{"...": b64u(hashlib.sha256(f"no {part}".encode()).digest())}]
    parts = ["actor", "attributes", "context", "object", "subjects", "values"]
    head = {"id": f"01939f5a-7c00-7a3b-8c4d-{number:012x}", "key": thumbprint(key), "log": "log.example/logs/licences",
            "time": "2026-11-22T06:50:29.123456Z"}
    return canonical(head | {part: place(part) for part in parts})


def make():
    import forged
    import lives
    import vectors

    previous = {}
    for name, case in vectors.CASES.items():
        make_record(name, dict(case), previous)
    signatures = edges.cases(event_of, signed_bytes)
    signatures = [case | {"signature": b64u(case["signature"])} for case in signatures]
    tables = {
        "openings": vectors.openings(previous) + forged.openings(previous) + forged.redactions(previous),
        "streams": forged.streams(previous),
        "signatures": signatures,
        "replays": lives.cases(),
    }
    for kind, cases in tables.items():
        write(f"{kind}.json", [case | {"outcome": OUTCOMES[kind](case)} for case in cases])


def make_record(name, case, previous):
    record_text = case.pop("record")(previous)
    file(name, "record.json").write_text(record_text)
    case["salts"] = salts(name, 64)
    if "opening" in case:
        case["opening"]["salts"] = salts(name + " opening", 3)
    else:
        last = previous[case.pop("follows")]
        case["after"] = {"stream": last["stream"], "seq": last["seq"] + 1, "prev": last["leaf_hash"]}
        if case.pop("wants_its_place", False):
            case["wants"] = {"leaf": last["leaf_hash"], "seq": last["seq"]}
    if "seed" in case:
        case["public_key"] = public_key(bytes.fromhex(case["seed"])).hex()
    record, _, _ = scan(record_text)
    used = len(seal(record, case)[1])
    case["salts"] = case["salts"][:used]
    leaf, disclosures = build(case, record)
    case["leaf_hash"] = leaf_hash(leaf)
    server = json.loads(leaf.split(b"\n")[1])["server"]
    previous[name] = {"stream": server["stream"], "seq": server["seq"], "leaf_hash": case["leaf_hash"]}
    previous[name]["leaf"], previous[name]["disclosures"] = leaf, disclosures
    file(name, "leaf").write_bytes(leaf)
    file(name, "disclosures").write_text("".join(text + "~" for text in disclosures))
    write(f"{name}.case.json", case)


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    check()
