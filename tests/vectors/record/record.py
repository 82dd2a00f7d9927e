#!/usr/bin/env python3
"""Another implementation of docs/record.md, out of Python's standard library alone; it shares no code with Cairn.

    python3 record.py           checks every vector in this folder
    python3 record.py make      writes them again, from the table at the end of this file

What it is for: to prove that the format can be implemented from its description, and to make the vectors without the
code that is tested with them. It is no library: it trusts its own input, and its Ed25519 is slow and not constant-time.
"""

import base64
import hashlib
import json
import pathlib
import sys

HERE = pathlib.Path(__file__).parent
PARTS = ["actor", "attributes", "context", "object", "subjects", "values"]


# --- Texts -----------------------------------------------------------------------------------------------------------


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text):
    data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    assert b64u(data) == text, "not the one base64url of its bytes"
    return data


def quoted(text):
    """A string as RFC 8785 writes it."""
    short = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\t": "\\t", "\n": "\\n", "\f": "\\f", "\r": "\\r"}
    return '"' + "".join(short.get(c, c if c >= " " else f"\\u{ord(c):04x}") for c in text) + '"'


def canonical(value):
    """Canonical JSON of strings, whole numbers, nulls, arrays and objects."""
    if value is None:
        return "null"
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, int):
        assert 0 <= value < 2**53
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(map(canonical, value)) + "]"
    members = sorted(value.items(), key=lambda member: member[0].encode("utf-16-be"))
    return "{" + ",".join(f"{quoted(name)}:{canonical(item)}" for name, item in members) + "}"


class Raw(str):
    """JSON as it was written, but for white space between tokens."""


def scan(text, at=0):
    """The value at an offset: itself (members and elements as Raw), its Raw, and the offset after it."""
    decoder = json.JSONDecoder()

    def skip(at):
        while at < len(text) and text[at] in " \t\r\n":
            at += 1
        return at

    at = skip(at)
    if text[at] == "{":
        members, raws, at = {}, [], skip(at + 1)
        while text[at] != "}":
            name, end = decoder.raw_decode(text, at)
            raw_name = text[at:end]
            at = skip(end)
            assert text[at] == ":" and name not in members
            _, raw, at = scan(text, at + 1)
            members[name] = raw
            raws.append(f"{raw_name}:{raw}")
            at = skip(at)
            at = skip(at + 1) if text[at] == "," else at
        return members, Raw("{" + ",".join(raws) + "}"), at + 1
    if text[at] == "[":
        elements, at = [], skip(at + 1)
        while text[at] != "]":
            _, raw, at = scan(text, at)
            elements.append(raw)
            at = skip(at)
            at = skip(at + 1) if text[at] == "," else at
        return elements, Raw("[" + ",".join(elements) + "]"), at + 1
    _, end = decoder.raw_decode(text, at)
    return json.loads(text[at:end]), Raw(text[at:end]), end


# --- Ed25519 (RFC 8032, section 5.1), slowly ---------------------------------------------------------------------------

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P


def add(one, two):
    (x1, y1, z1, t1), (x2, y2, z2, t2) = one, two
    a, b = (y1 - x1) * (y2 - x2) % P, (y1 + x1) * (y2 + x2) % P
    c, d = 2 * t1 * t2 * D % P, 2 * z1 * z2 % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar, point):
    total = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            total = add(total, point)
        point, scalar = add(point, point), scalar >> 1
    return total


def root(y, sign):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    assert (x * x - square) % P == 0, "not a point"
    return P - x if x & 1 != sign else x


BASE_Y = 4 * pow(5, P - 2, P) % P
BASE_X = root(BASE_Y, 0)
BASE = (BASE_X, BASE_Y, 1, BASE_X * BASE_Y % P)


def pack(point):
    x, y, z, _ = point
    inverse = pow(z, P - 2, P)
    return ((y * inverse % P) | (x * inverse % P & 1) << 255).to_bytes(32, "little")


def unpack(data):
    number = int.from_bytes(data, "little")
    y, sign = number & (1 << 255) - 1, number >> 255
    x = root(y, sign)
    return x, y, 1, x * y % P


def number_of(*data):
    return int.from_bytes(hashlib.sha512(b"".join(data)).digest(), "little")


def secret_of(seed):
    digest = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(digest[:32], "little") & (1 << 254) - 8 | 1 << 254
    return scalar, digest[32:]


def public_key(seed):
    return pack(times(secret_of(seed)[0], BASE))


def sign(seed, message):
    scalar, prefix = secret_of(seed)
    nonce = number_of(prefix, message) % L
    commitment = pack(times(nonce, BASE))
    challenge = number_of(commitment, public_key(seed), message) % L
    return commitment + ((nonce + challenge * scalar) % L).to_bytes(32, "little")


def is_signed(key, message, signature):
    response = int.from_bytes(signature[32:], "little")
    challenge = number_of(signature[:32], key, message) % L
    right = add(unpack(signature[:32]), times(challenge, unpack(key)))
    return response < L and pack(times(response, BASE)) == pack(right)


def thumbprint(key):
    """RFC 7638, RFC 8037."""
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64u(key)}"}}'
    return b64u(hashlib.sha256(jwk.encode()).digest())


# --- Making a record ---------------------------------------------------------------------------------------------------


def digest_of(disclosure):
    return b64u(hashlib.sha256(disclosure.encode()).digest())


def leaf_hash(leaf):
    return base64.b64encode(hashlib.sha256(b"\0" + leaf).digest()).decode()


class Press:
    def __init__(self, salts):
        self.salts, self.disclosures = iter(salts), []

    def disclose(self, value):
        """`value` is JSON text."""
        self.disclosures.append(b64u(f'["{next(self.salts)}",{value}]'.encode()))
        return digest_of(self.disclosures[-1])

    def place(self, value):
        return [{"...": self.disclose(value)}]


def ordered(value, names):
    """An object's members in the order of their names, each a Raw or a text of JSON."""
    assert set(value) <= set(names), set(value) - set(names)
    return "{" + ",".join(f"{quoted(name)}:{value[name]}" for name in names if name in value) + "}"


def token(name):
    return "/" + name.replace("~", "~0").replace("/", "~1")


def is_within(pointer, other):
    return pointer == other or pointer.startswith(other + "/")


def class_of(rules, otherwise, pointer):
    above = [rule for rule in rules if is_within(pointer, rule)]
    own = rules[max(above, key=len)] if above else otherwise
    order = ["public", "internal", "restricted", "secret"]
    return max([own] + [rules[rule] for rule in rules if is_within(rule, pointer)], key=order.index)


def cut(place, sides, rules):
    """The fields of the members of one or two objects."""
    names = sorted({name for side in sides.values() for name in side})
    fields = {}
    for name in names:
        pointer = place + token(name)
        here = {side: members[name] for side, members in sides.items() if name in members}
        deeper = any(rule != pointer and is_within(rule, pointer) for rule in rules)
        inner = {side: scan(raw)[0] for side, raw in here.items()}
        if deeper and all(isinstance(value, dict) and value for value in inner.values()):
            fields |= cut(pointer, inner, rules)
        else:
            fields[pointer] = here
    return fields


def press_values(press, values, classes, otherwise):
    rules = {rule: json.loads(raw) for rule, raw in scan(classes.get("values", "{}"))[0].items()}
    out = {}
    if "schema" in values:
        out["schema"] = ordered(scan(values["schema"])[0], ["uri", "version"])
    if "whole" in values:
        sides = scan(values["whole"])[0]
        documents = {side: scan(raw)[0] for side, raw in sides.items()}
        if all(isinstance(document, dict) for document in documents.values()):
            fields = cut("", documents, rules)
        else:
            fields = {"": sides}
        out["sides"] = quoted("both" if len(sides) == 2 else next(iter(sides)))
        form = "whole"
    else:
        fields = {pointer: scan(raw)[0] for pointer, raw in scan(values["fields"])[0].items()}
        form = "fields"
    places = []
    for pointer in sorted(fields, key=str.encode):
        field = {"class": quoted(class_of(rules, otherwise, pointer))} | fields[pointer]
        places.append(f"{quoted(pointer)}:{canonical(press.place(ordered(field, ['class', 'new', 'old'])))}")
    out[form] = "{" + ",".join(places) + "}"
    return press.disclose(ordered(out, ["fields", "schema", "sides", "whole"]))


def press_attributes(press, named, external, classes, otherwise):
    rules = {name: json.loads(raw) for name, raw in scan(classes.get("attributes", "{}"))[0].items()}
    out = {}
    elements = []
    for raw in external:
        one = {"class": '"internal"'} | scan(raw)[0]
        value = ordered(one, ["class", "media_type", "name", "sha256", "size"])
        elements.append({"...": press.disclose(value)})
    if elements:
        out["external"] = canonical(elements)
    places = []
    for name in sorted(named, key=str.encode):
        value = ordered({"class": quoted(rules.get(name, otherwise)), "value": named[name]}, ["class", "value"])
        places.append(f"{quoted(name)}:{canonical(press.place(value))}")
    if places:
        out["named"] = "{" + ",".join(places) + "}"
    return press.disclose(ordered(out, ["external", "named"]))


MEMBERS = {
    "object": ["action", "category", "entity", "id", "module", "operation", "row", "tenant"],
    "context": ["correlation", "purpose", "reason", "stream", "traceparent", "tracestate", "transaction"],
}


def actor_of(raw):
    actor = scan(raw)[0]
    if "on_behalf_of" in actor:
        actor["on_behalf_of"] = actor_of(actor["on_behalf_of"])
    return ordered(actor, ["id", "on_behalf_of", "roles", "type"])


def seal(record, case):
    """The event and the disclosures of a record in the native form. Its strings are taken to be canonical already."""
    press = Press(case["salts"])
    classes = scan(record.get("classification", "{}"))[0]
    otherwise = json.loads(classes.get("default", '"internal"'))
    event = {"log": case["log"], "id": json.loads(record["id"]), "time": json.loads(record["time"])}
    if "seed" in case:
        event["key"] = thumbprint(public_key(bytes.fromhex(case["seed"])))
    if "wants" in case:
        event["after"] = case["wants"]
    if "replaces" in record:
        event["replaces"] = json.loads(record["replaces"])
    for part in PARTS:
        if part == "attributes" and ("attributes" in record or "external" in record):
            named, external = scan(record.get("attributes", "{}"))[0], scan(record.get("external", "[]"))[0]
            digest = press_attributes(press, named, external, classes, otherwise)
        elif part not in record or part == "attributes":
            digest = press.disclose("null")
        elif part == "values":
            digest = press_values(press, scan(record["values"])[0], classes, otherwise)
        elif part == "actor":
            digest = press.disclose(actor_of(record["actor"]))
        elif part == "subjects":
            digest = press.disclose(record["subjects"])
        else:
            digest = press.disclose(ordered(scan(record[part])[0], MEMBERS[part]))
        event[part] = [{"...": digest}]
    return canonical(event), press.disclosures


def signed_bytes(event):
    """What a producer signs of the canonical text of an event."""
    return b"cairn.record/1\n" + event.encode()


def leaf_of(event, server, signature):
    tail = f',"signature":{canonical(signature)}' if signature else ""
    return f'cairn.record/1\n{{"event":{event},"server":{canonical(server)}{tail}}}\n'.encode()


def build(case, record):
    """The leaf and the disclosures of a case."""
    event, disclosures = seal(record, case)
    server = {"by": case["by"], "time": case["server_time"]}
    if "opening" in case:
        press = Press(case["opening"]["salts"])
        server["stream"] = press.disclose(canonical(case["opening"]["stream"]))
        server["topics"] = press.place(canonical(case["opening"]["topics"]))
        server["continues"] = press.place(canonical(case["opening"]["continues"]))
        server |= {"seq": 0, "prev": None}
        disclosures += press.disclosures
    else:
        server |= case["after"]
    signature = None
    if "seed" in case:
        seed = bytes.fromhex(case["seed"])
        signature = b64u(sign(seed, signed_bytes(event)))
    return leaf_of(event, server, signature), disclosures


# --- Opening a record --------------------------------------------------------------------------------------------------


class Refused(Exception):
    pass


def before(server):
    """The place of the record that the sequencer put this one after, as an event would name it."""
    return {"leaf": server["prev"], "seq": server["seq"] - 1} if server["seq"] else None


def open_record(leaf, disclosures, withheld, erased, log, index):
    """What became of each digest, by its place; `erased` says which redaction record names which digest of which record."""
    texts = {digest_of(text): text for text in disclosures}
    met, shown, kept = [], {}, []

    def one(place, digest):
        if digest in met:
            raise Refused("twice")
        met.append(digest)
        redaction = erased.get((digest, event["id"], index))
        if digest in texts and redaction is not None:
            kept.append(digest)
        if digest in texts:
            if digest in withheld:
                raise Refused("withheld and disclosed")
            salt_and_value, _, _ = scan(unb64u(texts[digest]).decode())
            salt, value = salt_and_value
            assert len(unb64u(json.loads(salt))) == 16
            shown[place] = "disclosed"
            return json.loads(value)
        if digest in withheld:
            shown[place] = "withheld"
        elif redaction is not None:
            shown[place] = f"erased {redaction}"
        else:
            raise Refused("missing")
        return None

    header, line, end = leaf.decode().split("\n")
    assert header == "cairn.record/1" and end == ""
    parts = json.loads(line)
    event, server = parts["event"], parts["server"]
    assert canonical(parts) == line, "not canonical"
    if event["log"] != log:
        raise Refused("log")
    if ("key" in event) != ("signature" in parts):
        raise Refused("signature")
    if "after" in event and event["after"] != before(server):
        raise Refused("after")
    for part in PARTS:
        [element] = event[part]
        value = one(part, element["..."])
        if part == "values" and value:
            for pointer, [element] in sorted((value.get("fields") or value.get("whole") or {}).items()):
                one("values " + pointer, element["..."])
        if part == "attributes" and value:
            for name, [element] in sorted(value.get("named", {}).items()):
                one("attributes " + name, element["..."])
            for number, element in enumerate(value.get("external", [])):
                one(f"external {number}", element["..."])
    if server["seq"] == 0:
        one("stream", server["stream"])
        for place in ["topics", "continues"]:
            [element] = server[place]
            value = one(place, element["..."])
            if place == "continues" and value and value["log"] == log:
                raise Refused("continues")
    elif server["stream"] in texts:
        one("stream", server["stream"])
    if set(texts) - set(met):
        raise Refused("unreferenced")
    if set(withheld) - set(met):
        raise Refused("withheld elsewhere")
    if kept:
        shown["still disclosed"] = kept
    return shown


# --- The folder --------------------------------------------------------------------------------------------------------


def file(name, kind):
    return HERE / f"{name}.{kind}"


def load(name):
    case = json.loads(file(name, "case.json").read_text())
    record, _, _ = scan(file(name, "record.json").read_text())
    return case, record


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
    openings = json.loads((HERE / "openings.json").read_text())
    for opening in openings:
        assert outcome(opening) == opening["outcome"], (opening["name"], outcome(opening))
    print(f"{len(names)} records and {len(openings)} openings are as published")


def changed(leaf, change):
    """The leaf with one text in place of another, which stands in it once."""
    if change is None:
        return leaf
    old, new = (text.encode() for text in change)
    assert leaf.count(old) == 1
    return leaf.replace(old, new)


def outcome(opening):
    name = opening["record"]
    disclosures = [text for text in file(name, "disclosures").read_text().split("~") if text]
    disclosures = [text for text in disclosures if digest_of(text) not in opening["left_out"]] + opening["added"]
    erased = {}
    for redaction in opening["redactions"]:
        record, _, _ = scan(file(redaction["record"], "record.json").read_text())
        new = json.loads(json.loads(json.dumps(scan(scan(record["values"])[0]["whole"])[0]["new"])))
        concerned = json.loads(scan(record["object"])[0]["id"]), new["index"]
        erased |= {(digest, *concerned): redaction["index"] for digest in new["digests"]}
    try:
        leaf = changed(file(name, "leaf").read_bytes(), opening.get("changed"))
        log = opening.get("log") or load(name)[0]["log"]
        return open_record(leaf, disclosures, opening["withheld"], erased, log, opening["index"])
    except Refused as refused:
        return f"refused: {refused}"


def salts(name, count):
    """Anybody can compute these: they keep nothing secret."""
    return [b64u(hashlib.sha256(f"{name} salt {number}".encode()).digest()[:16]) for number in range(count)]


def make():
    import vectors

    previous = {}
    for name, case in vectors.CASES.items():
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
        file(name, "case.json").write_text(json.dumps(case, indent=1, ensure_ascii=False) + "\n")
    openings = vectors.openings(previous)
    for opening in openings:
        opening["outcome"] = outcome(opening)
    (HERE / "openings.json").write_text(json.dumps(openings, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    check()
