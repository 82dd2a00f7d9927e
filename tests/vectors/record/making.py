"""Making a record: what it says in the native form becomes disclosures, an event and a leaf."""

import base64
import hashlib
import json

from ed25519 import public_key, sign
from rules import CLASSES, b64u, canonical, quoted, scan

PARTS = ["actor", "attributes", "context", "object", "subjects", "values"]


def thumbprint(key):
    """RFC 7638, RFC 8037."""
    jwk = f'{{"crv":"Ed25519","kty":"OKP","x":"{b64u(key)}"}}'
    return b64u(hashlib.sha256(jwk.encode()).digest())


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
    return max([own] + [rules[rule] for rule in rules if is_within(rule, pointer)], key=CLASSES.index)


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


def grouped(places, write):
    """An object of the classes that have something."""
    groups = {}
    for of_class, name, digest in places:
        groups.setdefault(of_class, []).append((name, {"...": digest}))
    return "{" + ",".join(f"{quoted(of_class)}:{write(groups[of_class])}" for of_class in sorted(groups)) + "}"


def in_object(group):
    return "{" + ",".join(f"{quoted(name)}:{canonical([element])}" for name, element in group) + "}"


def in_array(group):
    return canonical([element for _, element in group])


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
        digest = press.disclose(ordered(fields[pointer], ["new", "old"]))
        places.append((class_of(rules, otherwise, pointer), pointer, digest))
    out[form] = grouped(places, in_object)
    return press.disclose(ordered(out, ["fields", "schema", "sides", "whole"]))


def press_attributes(press, named, external, classes, otherwise):
    def rules_of(kind):
        return {name: json.loads(raw) for name, raw in scan(classes.get(kind, "{}"))[0].items()}

    rules, external_rules = rules_of("attributes"), rules_of("external")

    def class_of_external(one):
        rule = external_rules.get(json.loads(one["name"]), otherwise)
        return json.loads(one["class"]) if "class" in one else rule

    out = {}
    elements = []
    for one in sorted((scan(raw)[0] for raw in external), key=lambda one: CLASSES.index(class_of_external(one))):
        of_class = class_of_external(one)
        one.pop("class", None)
        elements.append((of_class, None, press.disclose(ordered(one, ["media_type", "name", "sha256", "size"]))))
    if elements:
        out["external"] = grouped(elements, in_array)
    places = []
    for name in sorted(named, key=str.encode):
        places.append((rules.get(name, otherwise), name, press.disclose(named[name])))
    if places:
        out["named"] = grouped(places, in_object)
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
