"""Replay: docs/record.md, section "Replay", one field after another where Cairn takes all of them at once."""

import copy
import enum
import json
import re
from decimal import Decimal

from making import cut
from rules import NAMED_BY, is_own_operation, quoted, scan


class Mark(enum.Enum):
    ABSENT = "nothing is there"
    GONE = "something was there, and goes when all else is done"


ABSENT, GONE = Mark.ABSENT, Mark.GONE


class Number(str):
    """A number as it was written."""


class Unknown:
    def __init__(self, erased=None):
        self.erased = erased

    def least(self, other):
        """Of two reasons, the one that is shown."""
        both = [one.erased for one in (self, other) if one.erased is not None]
        return Unknown(min(both)) if both else Unknown()

    def __str__(self):
        return '{"withheld":true}' if self.erased is None else f'{{"erased":{self.erased}}}'


def node(raw):
    value, text, _ = scan(raw)
    if isinstance(value, dict):
        return {name: node(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [node(inner) for inner in value]
    return Number(text) if isinstance(value, (int, float)) and not isinstance(value, bool) else value


def text(value):
    if isinstance(value, dict):
        names = sorted(value, key=str.encode)
        return "{" + ",".join(f"{quoted(name)}:{text(value[name])}" for name in names) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(text, value)) + "]"
    if isinstance(value, (Number, Unknown)):
        return str(value)
    return quoted(value) if isinstance(value, str) else json.dumps(value)


def pointer_of(tokens):
    return "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)


def tokens_of(pointer):
    return [token.replace("~1", "/").replace("~0", "~") for token in pointer.split("/")[1:]]


def index_of(token):
    return int(token) if re.fullmatch("0|[1-9][0-9]*", token) else None


# --- Comparing ---------------------------------------------------------------------------------------------------------


def same(one, two):
    """Whether two values are the same; None if what is unknown decides."""
    if isinstance(one, Unknown) or isinstance(two, Unknown):
        return None
    if one is ABSENT or two is ABSENT:
        return one is two
    if isinstance(one, Number) and isinstance(two, Number):
        return Decimal(one) == Decimal(two)
    if isinstance(one, Number) or isinstance(two, Number) or type(one) is not type(two):
        return False
    if isinstance(one, list):
        return len(one) == len(two) and all_same(map(same, one, two))
    if isinstance(one, dict):
        return all_same(same(one.get(name, ABSENT), two.get(name, ABSENT)) for name in set(one) | set(two))
    return one == two


def all_same(parts):
    parts = list(parts)
    return False if False in parts else None if None in parts else True


def differing(one, two, tokens=()):
    """The pointers at which two values differ for sure."""
    if isinstance(one, dict) and isinstance(two, dict):
        inner = [(name, one.get(name, ABSENT), two.get(name, ABSENT)) for name in sorted(set(one) | set(two), key=str.encode)]
    elif isinstance(one, list) and isinstance(two, list):
        get = lambda values, index: values[index] if index < len(values) else ABSENT
        inner = [(str(index), get(one, index), get(two, index)) for index in range(max(len(one), len(two)))]
    else:
        return [] if same(one, two) is not False else [pointer_of(tokens)]
    return [pointer for token, one, two in inner for pointer in differing(one, two, (*tokens, token))]


def at(value, tokens):
    for token in tokens:
        if isinstance(value, Unknown):
            return value
        if isinstance(value, dict):
            value = value.get(token, ABSENT)
        elif isinstance(value, list) and index_of(token) is not None and index_of(token) < len(value):
            value = value[index_of(token)]
        else:
            return ABSENT
    return value


# --- Fields ------------------------------------------------------------------------------------------------------------


class Patch:
    """The fields of one record, on a document as it was before."""

    def __init__(self, document, fields):
        # The document is a member of something, so that it is as any other place.
        self.box = {"": copy.deepcopy(document)}
        self.fields = {pointer: ["", *tokens_of(pointer)] for pointer in fields}
        self.makes = [self.fields[pointer] for pointer, change in fields.items() if change is not ABSENT]
        self.lengths, self.unknown, self.misfits = {}, [], []
        # What this record made unknown; kept, so that no other value gets the same id.
        self.fresh, self.kept = set(), []
        self.measure(self.box)
        order = lambda pointer: [(index_of(token) is None, index_of(token) or 0, token) for token in self.fields[pointer]]
        kinds = [lambda change: change is not ABSENT and not isinstance(change, Unknown),
                 lambda change: change is ABSENT, lambda change: isinstance(change, Unknown)]
        for kind in kinds:
            for pointer in sorted((pointer for pointer in fields if kind(fields[pointer])), key=order):
                self.act(pointer, fields[pointer])
        for parent, key, why in self.unknown:
            known = parent[key]
            parent[key] = self.made_unknown(known.least(why) if id(known) in self.fresh else why)

    def made_unknown(self, why):
        value = Unknown(why.erased)
        self.fresh.add(id(value))
        self.kept.append(value)
        return value

    def measure(self, value):
        if isinstance(value, list):
            self.lengths[id(value)] = len(value)
        for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else []:
            self.measure(inner)

    def new_elements(self, tokens, length):
        """How many elements the array at these tokens gets at indexes."""
        here = [way[len(tokens)] for way in self.makes if way[: len(tokens)] == tokens and len(way) > len(tokens)]
        count = 0
        while str(length + count) in here:
            count += 1
        return count

    def key(self, here, way, depth, change):
        """Where the token leads: a key of what is here; None if it is no place."""
        token, is_last = way[depth], depth == len(way) - 1
        if isinstance(here, dict):
            return token
        length = self.lengths[id(here)]
        new, index = self.new_elements(way[:depth], length), index_of(token)
        if index is not None and index < length + new and not (is_last and change is ABSENT and index >= length):
            here.extend([ABSENT] * (index + 1 - len(here)))
            return index
        if token == "-" and is_last and change is not ABSENT:
            here.extend([ABSENT] * (length + new + 1 - len(here)))
            return length + new
        return None

    def act(self, pointer, change):
        way, here, parent = self.fields[pointer], self.box, None
        for depth, token in enumerate(way):
            if isinstance(here, Unknown):
                # What another field of the same record made unknown may be more things than one.
                if id(here) in self.fresh and isinstance(change, Unknown):
                    here.erased = here.least(change).erased
                else:
                    self.misfits.append((pointer, "unknown"))
                return
            key = self.key(here, way, depth, change) if isinstance(here, (dict, list)) else None
            if key is None:
                self.misfits.append((pointer, "no place"))
                return
            there = here.get(key, ABSENT) if isinstance(here, dict) else here[key]
            is_last = depth == len(way) - 1
            if is_last or there is ABSENT:
                if isinstance(change, Unknown):
                    if isinstance(here, list):
                        self.unknown.append((*parent, change))
                    else:
                        here[key] = self.made_unknown(change)
                    return
                if change is ABSENT:
                    if isinstance(here, list) and there is not ABSENT:
                        here[key] = GONE
                    elif isinstance(here, dict):
                        here.pop(key, None)
                    return
                there = here[key] = copy.deepcopy(change) if is_last else {}
            parent, here = (here, key), there

    def document(self):
        def left(value):
            if isinstance(value, dict):
                return {name: left(inner) for name, inner in value.items()}
            if isinstance(value, list):
                return [left(inner) for inner in value if inner is not GONE and inner is not ABSENT]
            return value

        return left(self.box.get("", ABSENT))


# --- Records -----------------------------------------------------------------------------------------------------------


def read(given):
    """A record of a case: what it says as far as it is shown, and its place."""
    members = scan(given["record"])[0]
    thing = json.loads(members["object"])
    out = {member: given[member] for member in ["seq", "index", "server_time"]}
    out["is_later"] = given["is_later"]
    if out["is_later"]:
        # Nothing of it is known but its place.
        return out | {"id": json.loads(members["id"]), "time": given["server_time"], "replaces": None, "object": Unknown()}
    out |= {member: json.loads(members[member]) for member in ["id", "time"]}
    out["replaces"] = json.loads(members.get("replaces", "null"))
    hidden = {place: Unknown(given["erased_by"] if how == "erased" else None) for place, how in given["hidden"].items()}
    out["object"] = hidden.get("object", thing)
    out["values"] = hidden.get("values") or values_of(members, hidden)
    return out


def values_of(members, hidden):
    if "values" not in members:
        return None
    values = scan(members["values"])[0]
    if "whole" in values:
        sides = scan(values["whole"])[0]
        rules = scan(scan(members.get("classification", "{}"))[0].get("values", "{}"))[0]
        documents = {side: scan(raw)[0] for side, raw in sides.items()}
        is_cut = all(isinstance(document, dict) for document in documents.values())
        fields, form = cut("", documents, rules) if is_cut else {"": sides}, sorted(sides)
    else:
        fields, form = {pointer: scan(raw)[0] for pointer, raw in scan(values["fields"])[0].items()}, "fields"
    shown = {pointer: {side: node(raw) for side, raw in field.items()} for pointer, field in fields.items()}
    return form, {pointer: hidden.get("values " + pointer, field) for pointer, field in shown.items()}


def document_of(side, form, fields):
    """The document that whole values have on a side."""
    start = ABSENT if "" in fields else {}
    if form == [side]:
        # Each field is there, so that what leads to it is, too.
        puts = {pointer: {} if isinstance(field, Unknown) else field[side] for pointer, field in fields.items()}
        document = Patch(start, puts).document()
        unseen = {pointer: field for pointer, field in fields.items() if isinstance(field, Unknown)}
        return Patch(document, unseen).document()
    there = {p: f if isinstance(f, Unknown) else f[side] for p, f in fields.items() if isinstance(f, Unknown) or side in f}
    return Patch(start, there).document()


def first_of(pointers):
    """The first that are shown, and whether there are more."""
    out, size = [], 0
    for pointer in pointers:
        size += len(pointer.encode())
        if len(out) == 256 or size > 65_536:
            return [*out, "and more"]
        out.append(pointer)
    return out


def may_correct(record, other):
    """Whether it may act in the place of the other, as far as both are shown."""
    one, two = record["object"], other["object"]
    if isinstance(two, Unknown):
        return True
    same = isinstance(one, Unknown) or all(one.get(member) == two.get(member) for member in [*NAMED_BY, "row"])
    return same and not is_own_operation(two)


class Replay:
    def __init__(self, records, view, until):
        self.states, self.flags, self.others = {}, [], None
        places = self.places(records, view)
        what = {"seq": "seq", "server_time": "server_time", "producer_time": "time"}
        for kind, bound in (until or {}).items():
            places = [place for place in places if place[0][what[kind]] <= bound]
            if kind == "producer_time":
                places.sort(key=lambda place: place[0]["time"])
        for place, acting, oddity in places:
            if oddity is not None:
                self.flag(place, *oddity)
            self.act(acting)

    def flag(self, record, *words):
        self.flags.append([record["seq"], record["index"], *words])

    def places(self, records, view):
        """Where a record is, which one acts there, and what is odd about the one that is there."""
        recorded, corrected, of = [], [], {}
        for record in records:
            replaced, into, oddity = record["replaces"], len(corrected), None
            if replaced is not None:
                target, number = of.get(replaced, (None, None))
                if target is None:
                    oddity = "replaces unknown", replaced
                elif may_correct(record, target) and may_correct(record, corrected[number][0]):
                    into = number
                else:
                    oddity = "replaces other", replaced
            of[record["id"]] = record, into
            if into == len(corrected):
                corrected.append([record, record, oddity])
            else:
                corrected[into][1] = record
            recorded.append([record, record, oddity])
        return corrected if view == "corrected" else recorded

    def act(self, record):
        thing = record["object"]
        if isinstance(thing, Unknown):
            for state in self.states.values():
                state |= {"life": "unknown", "data": thing, "last": record["seq"]}
            self.others = thing
            self.flag(record, "later version" if record["is_later"] else "object unknown")
            return
        operation = thing["operation"]
        if operation not in ["create", "update", "delete"]:
            return
        key = (*(thing[member] for member in NAMED_BY), thing.get("row"))
        new = {"life": "unknown", "data": self.others} if self.others else {"life": "ended", "data": ABSENT}
        state = self.states.setdefault(key, new | {"lives": 0})
        state["last"] = record["seq"]
        if (operation, state["life"]) in [("create", "live"), ("update", "ended"), ("delete", "ended")]:
            self.flag(record, f"{operation} on {'live' if operation == 'create' else 'absent'}")
        self.compare(record, state["data"])
        if operation == "delete":
            state |= {"life": "ended", "data": ABSENT}
            return
        if operation == "create" or state["life"] == "ended":
            state["lives"] += 1
        before = state["data"] if operation == "update" else ABSENT
        state |= {"life": "live", "data": self.written(record, before)}

    def compare(self, record, data):
        if record["values"] is None or isinstance(record["values"], Unknown):
            return
        form, fields = record["values"]
        if form == "fields":
            olds = {p: f["old"] for p, f in fields.items() if not isinstance(f, Unknown) and "old" in f}
            found = [p for p in sorted(olds, key=str.encode) if same(at(data, tokens_of(p)), olds[p]) is False]
        else:
            found = differing(data, document_of("old", form, fields)) if "old" in form else []
        if found:
            self.flag(record, "old differs", *first_of(found))

    def written(self, record, before):
        values = record["values"]
        if values is None or isinstance(values, Unknown):
            return before if values is None else values
        form, fields = values
        if form != "fields":
            return document_of("new", form, fields)
        patch = Patch(before, {p: f if isinstance(f, Unknown) else f.get("new", ABSENT) for p, f in fields.items()})
        for pointer, why in sorted(patch.misfits, key=lambda misfit: misfit[0].encode()):
            self.flag(record, "misfit", pointer, why)
        return patch.document()

    def outcome(self):
        order = lambda pair: [(part is not None, (part or "").encode()) for part in pair[0]]
        states = [
            {"object": list(key[:4]), "row": key[4], "life": state["life"],
             "data": None if state["data"] is ABSENT else text(state["data"]),
             "lives": state["lives"], "last": state["last"]}
            for key, state in sorted(self.states.items(), key=order)
        ]
        return {"states": states, "others": self.others and str(self.others), "flags": self.flags}


def outcome(case):
    replay = Replay([read(given) for given in case["records"]], case["view"], case["until"])
    return replay.outcome()
