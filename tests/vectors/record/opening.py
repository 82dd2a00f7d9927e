"""Opening a record, and following a stream: docs/record.md, sections "Opening a record" and "Streams"."""

import json
import re

import rules
from ed25519 import is_signed
from making import PARTS, digest_of, leaf_hash, signed_bytes, thumbprint
from rules import Refused, canonical, check, scan, strict, unb64u


def before(server):
    """The place of the record that the sequencer put this one after, as an event would name it."""
    return {"leaf": server["prev"], "seq": server["seq"] - 1} if server["seq"] else None


def read_leaf(leaf):
    """Event, server's part and whole second line of a leaf."""
    check(len(leaf) <= 4096, "leaf")
    found = re.fullmatch("cairn\\.record/1\n([^\n]*)\n", leaf.decode())
    check(found, "leaf")
    parts, _ = strict(found[1].encode())
    check(canonical(parts) == found[1] and set(parts) <= {"event", "server", "signature"}, "leaf")
    event, server = parts["event"], parts["server"]
    rules.record_id(event["id"])
    try:
        rules.origin(event["log"])
        rules.pseudonym(server["by"])
    except Refused:
        raise Refused("leaf") from None
    rules.time(event["time"])
    rules.time(server["time"])
    if "replaces" in event:
        rules.record_id(event["replaces"])
    check(("key" in event) == ("signature" in parts), "signature")
    check("after" not in event or event["after"] == before(server), "after")
    check((server["seq"] == 0) == (server["prev"] is None) == ("topics" in server) == ("continues" in server), "leaf")
    return event, server, parts.get("signature")


class Matching:
    """The disclosures of one record, and what became of each digest, by its place."""

    def __init__(self, disclosures, withheld, erased, of):
        texts = [text for text in disclosures]
        size = sum(len(text) + 1 for text in texts)
        check(len(texts) <= rules.DISCLOSURES and size <= rules.ALL_DISCLOSED, "disclosures")
        check(all(len(text) <= rules.DISCLOSURE for text in texts) and len(set(texts)) == len(texts), "disclosures")
        check(len(withheld) <= rules.DISCLOSURES, "too many withheld")
        self.texts, self.withheld, self.erased, self.of = {digest_of(text): text for text in texts}, withheld, erased, of
        self.met, self.shown, self.classes, self.kept, self.salts, self.fields = [], {}, {}, [], [], {}

    def knows(self, digest):
        return digest in self.texts or digest in self.withheld or (digest, *self.of) in self.erased

    def one(self, place, digest, rule, may_be_null=False, of_class=None):
        """What the disclosure of a digest holds, once as Python's values and once as it is written; or nothing."""
        self.met.append(digest)
        self.classes[place] = of_class
        redaction = self.erased.get((digest, *self.of))
        if digest in self.texts:
            check(digest not in self.withheld, "withheld and disclosed")
            if redaction is not None:
                self.kept.append(digest)
            self.shown[place] = "disclosed"
            array, text = strict(unb64u(self.texts[digest]))
            check(isinstance(array, list) and len(array) == 2 and isinstance(array[0], str))
            check(len(array[0]) == 22 and len(unb64u(array[0])) == 16)
            self.salts.append(array[0])
            if array[1] is not None or not may_be_null:
                raw = scan(text)[0][1]
                rule(array[1], raw)
                return array[1], raw
        elif redaction is not None:
            self.shown[place] = f"erased {redaction}"
        else:
            check(digest in self.withheld, "missing")
            self.shown[place] = "withheld"
        return None, None

    def finish(self):
        check(len(set(self.met)) == len(self.met), "twice")
        check(not set(self.texts) - set(self.met), "unreferenced")
        check(not set(self.withheld) - set(self.met), "withheld elsewhere")
        check(len(set(self.salts)) == len(self.salts), "salt twice")


def plain(rule):
    return lambda value, _: rule(value)


RULES = {
    "actor": rules.actor,
    "attributes": rules.attributes,
    "context": rules.context,
    "object": rules.OBJECT,
    "subjects": lambda names: rules.names(names, rules.SUBJECTS, 1),
    "values": rules.values,
}


def open_fields(matching, values):
    form = "whole" if "whole" in values else "fields"
    fields = []
    for of_class, group in values[form].items():
        for pointer, [element] in group.items():
            place = "values " + pointer
            inner, raw = matching.one(place, element["..."], rules.field, of_class=of_class)
            if inner is not None:
                rules.field_fits(form, values.get("sides"), pointer, inner, raw)
            matching.fields[pointer] = of_class, inner
            fields.append(pointer)
    rules.fields_fit(values)


def open_attributes(matching, attributes):
    for of_class, group in attributes.get("named", {}).items():
        for name, [element] in group.items():
            matching.one("attributes " + name, element["..."], lambda _, raw: rules.value(raw), of_class=of_class)
    number, names = 0, []
    for of_class in sorted(attributes.get("external", {}), key=rules.CLASSES.index):
        for element in attributes["external"][of_class]:
            inner, _ = matching.one(f"external {number}", element["..."], plain(rules.external), of_class=of_class)
            names += [inner["name"]] if inner is not None else []
            number += 1
    rules.attributes_fit(attributes, names)


def belongs(name, shown):
    """Whether a record belongs in the stream of this name, as far as it is shown."""
    thing, context = shown.get("object"), shown.get("context", {})
    meant = (context or {}).get("stream") if "context" in shown else None
    if name[0] == "entity":
        own = thing is None or name[1:] == [thing[member] for member in rules.NAMED_BY]
        return own and meant is None
    tenant = thing is None or thing["tenant"] == name[1]
    return tenant and ("context" not in shown or meant == name[2])


class Opened:
    """A record that was opened: the event and the server's part of its leaf, what it says, what became of each digest."""

    def __init__(self, leaf, disclosures, withheld, erased, log, index):
        event, server, self.signature = read_leaf(leaf)
        check(event["log"] == log, "log")
        matching = Matching(disclosures, withheld, erased, (event["id"], index))
        self.event, self.server, self.index, self.hash = event, server, index, leaf_hash(leaf)
        self.says, self.name = {}, None
        for part in PARTS:
            [element] = event[part]
            value, _ = matching.one(part, element["..."], plain(RULES[part]), may_be_null=part != "object")
            if matching.shown[part] == "disclosed":
                self.says[part] = value
            if part == "values" and value is not None:
                open_fields(matching, value)
            if part == "attributes" and value is not None:
                open_attributes(matching, value)
        thing, values = self.says.get("object"), self.says.get("values")
        if thing and values and values.get("sides") == "old":
            check(thing["operation"] == "delete", "fields")
        check("key" not in event or not rules.reserved(self.says), "reserved")
        check("replaces" not in event or not thing or not rules.is_own_operation(thing), "own replaces")
        self.open_stream(matching, log)
        matching.finish()
        check(self.name is None or belongs(self.name, self.says), "stream")
        check("key" not in event or self.name is None or not rules.reserved_stream(self.name), "reserved")
        self.shown, self.classes, self.fields = matching.shown, matching.classes, matching.fields
        # What erases is not erased itself.
        check(not self.is_redaction() or not any(became.startswith("erased") for became in self.shown.values()), "missing")
        if matching.kept:
            self.shown["still disclosed"] = matching.kept

    def open_stream(self, matching, log):
        server = self.server
        if server["seq"] == 0 or matching.knows(server["stream"]):
            self.name, _ = matching.one("stream", server["stream"], plain(rules.stream_name))
        if server["seq"] == 0:
            [element] = server["topics"]
            topics = lambda names: rules.names(names, rules.TOPICS, 1)
            matching.one("topics", element["..."], plain(topics), may_be_null=True)
            [element] = server["continues"]
            head, _ = matching.one("continues", element["..."], plain(rules.HEAD), may_be_null=True)
            check(not head or head["log"] != log, "continues")

    def is_redaction(self):
        kind = {"module": "cairn", "entity": "redaction", "operation": "record.redaction"}
        return kind.items() <= (self.says.get("object") or {}).items()

    def redacts(self, log, successors):
        """What it erases in a log: digests, the id and the index of the record that they are of; or nothing."""
        public = {pointer: inner["new"] if of_class == "public" and inner else None
                  for pointer, (of_class, inner) in self.fields.items()}
        is_own, values = self.event["log"] == log, self.says.get("values") or {}
        if not self.is_redaction() or "key" in self.event or values.get("sides") != "new":
            return [], None, None
        digests, index = public.get("/digests"), public.get("/index")
        try:
            check(is_own or self.event["log"] in successors)
            check(public.get("/log", self.event["log"]) == log)
            rules.whole_number(index)
            check(not is_own or index < self.index)
            check(isinstance(digests, list) and 0 < len(digests) <= rules.REDACTED)
            for digest in digests:
                rules.digest(digest)
            rules.record_id(self.says["object"]["id"])
        except Refused:
            return [], None, None
        return digests, self.says["object"]["id"], index

    def producer(self, keys):
        """Whose event it is, as far as these keys tell."""
        if "key" not in self.event:
            return "none"
        key = next((key for key in keys if thumbprint(key) == self.event["key"]), None)
        if key is None:
            return f"unknown {self.event['key']}"
        check(is_signed(key, signed_bytes(canonical(self.event)), unb64u(self.signature)), "producer's signature")
        return f"verified {self.event['key']}"

    def withheld_only_above(self, up_to):
        """Whether nothing is withheld but what has a class above this one; None may see nothing that has a class."""
        rank = lambda of_class: -1 if of_class is None else rules.CLASSES.index(of_class)
        withheld = [place for place, became in self.shown.items() if became == "withheld"]
        return all(rank(self.classes[place]) > rank(up_to) for place in withheld)


class Later:
    """A leaf of a later version: its place in the chain of its stream, and no more."""

    name, says = None, {}

    def __init__(self, leaf, index):
        check(len(leaf) <= 4096, "leaf")
        found = re.fullmatch("cairn\\.record/([1-9][0-9]{0,8})\n([^\n]*)\n", leaf.decode())
        check(found and found[1] != "1", "leaf")
        parts, _ = strict(found[2].encode())
        try:
            event, server = parts["event"], parts["server"]
            rules.origin(event["log"])
            rules.record_id(event["id"])
            rules.digest(server["stream"])
            rules.whole_number(server["seq"])
            rules.time(server["time"])
            if server["prev"] is not None:
                rules.leaf_hash(server["prev"])
        except (KeyError, TypeError):
            raise Refused("leaf") from None
        check((server["seq"] == 0) == (server["prev"] is None), "leaf")
        self.event, self.server, self.index, self.hash = event, server, index, leaf_hash(leaf)


def agree(records):
    """Whether there is a stream's name with which all belong in it; without one, what is shown must agree."""
    things = [record.says["object"] for record in records if record.says.get("object")]
    meant = {(record.says["context"] or {}).get("stream") for record in records if "context" in record.says}
    own = {tuple(thing[member] for member in rules.NAMED_BY) for thing in things}
    return len({thing["tenant"] for thing in things}) <= 1 and len(meant) <= 1 and (meant != {None} or len(own) <= 1)


def follow(records):
    """That these records, from the first on, are a good stream."""
    name = next((record.name for record in records if record.name is not None), None)
    ids = set()
    for number, record in enumerate(records):
        event, server = record.event, record.server
        check(event["log"] == records[0].event["log"], "log")
        check(server["stream"] == records[0].server["stream"], "another stream")
        check(server["seq"] == number, "seq")
        if number:
            last = records[number - 1]
            check(server["prev"] == last.hash, "prev")
            check(record.index > last.index, "index")
            check(server["time"] >= last.server["time"], "time")
    for record in records:
        check(record.event["id"] not in ids, "id")
        ids.add(record.event["id"])
    for record in records:
        check(name is None or belongs(name, record.says), "name")
    check(name is not None or agree(records), "name")
