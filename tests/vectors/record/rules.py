"""What docs/record.md says of texts and of each disclosure: names, bounds, members. Whatever breaks a rule is Refused."""

import base64
import datetime
import json
import re
import unicodedata

CLASSES = ["public", "internal", "restricted", "secret"]
NAME, ORIGIN, OPERATION, PROSE, URI, TRACESTATE = 256, 255, 64, 4096, 2048, 512
DISCLOSURE, DISCLOSURES, ALL_DISCLOSED, EVENT_DISCLOSED = 1 << 20, 4096, 4 << 20, (4 << 20) - (64 << 10)
DEPTH, VALUE_DEPTH, VALUE, NUMBER, EXPONENT, POINTER, TOKENS = 64, 62, 256 << 10, 128, 9, 1024, 62
FIELDS, ATTRIBUTES, EXTERNAL, ROLES, BEHALF, SUBJECTS, TOPICS, REDACTED = 2048, 256, 256, 64, 4, 256, 64, 1024


class Refused(Exception):
    pass


def check(holds, why="malformed"):
    if not holds:
        raise Refused(why)


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def unb64u(text):
    check(re.fullmatch("[A-Za-z0-9_-]*", text))
    try:
        data = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise Refused("malformed") from None
    check(b64u(data) == text)
    return data


# --- JSON --------------------------------------------------------------------------------------------------------------


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


def depth(raw):
    outside = re.sub(r'"(\\.|[^"\\])*"', "", raw)
    open_now = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", outside):
        open_now += 1 if bracket in "[{" else -1
        deepest = max(deepest, open_now)
    return deepest


def strict(data):
    """JSON that no two readers could understand differently, as Python's values; its text."""

    def members(pairs):
        check(len(dict(pairs)) == len(pairs))
        return dict(pairs)

    def number(text):
        check(len(text) <= NUMBER)
        exponent = re.search("[eE][+-]?0*([0-9]*)$", text)
        check(exponent is None or len(exponent[1]) <= EXPONENT)
        return int(text) if text.isdecimal() else float(text)

    def constant(_):
        raise Refused("malformed")

    try:
        text = data.decode()
        check(depth(text) <= DEPTH)
        value = json.loads(text, object_pairs_hook=members, parse_int=number, parse_float=number, parse_constant=constant)
        json.dumps(value, ensure_ascii=False).encode()
    except ValueError:
        raise Refused("malformed") from None
    return value, text


def only(value, names, needed=()):
    check(isinstance(value, dict) and set(value) <= set(names) and set(needed) <= set(value))
    return value


# --- Texts -------------------------------------------------------------------------------------------------------------


def is_control(character):
    return unicodedata.category(character) == "Cc"


def text(value, most, refused):
    check(isinstance(value, str) and value and len(value.encode()) <= most and not any(map(refused, value)))


def name(value):
    text(value, NAME, is_control)


def names(value, most, least=0):
    check(isinstance(value, list) and least <= len(value) <= most)
    for one in value:
        name(one)


def prose(value):
    text(value, PROSE, lambda character: is_control(character) and character not in "\t\r\n")


def uri(value):
    text(value, URI, lambda character: is_control(character) or character.isspace() or character in '<>"\\^`{|}')


def operation(value):
    check(isinstance(value, str) and re.fullmatch("[a-z][a-z0-9._-]*", value) and len(value) <= OPERATION)


def traceparent(value):
    """W3C trace context, section 3.2."""
    check(isinstance(value, str) and len(value.encode()) <= NAME)
    found = re.fullmatch("([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?", value, re.DOTALL)
    check(found and found[1] != "ff" and found[2].strip("0") and found[3].strip("0"))
    check(found[1] != "00" or found[4] is None)


def tracestate(value):
    check(isinstance(value, str) and re.fullmatch("[ -~]+", value) and len(value) <= TRACESTATE)


def whole_number(value):
    check(isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**53)


def digest(value):
    check(isinstance(value, str) and len(value) == 43 and len(unb64u(value)) == 32)


def leaf_hash(value):
    check(isinstance(value, str) and re.fullmatch("[A-Za-z0-9+/]{43}=", value))
    check(base64.b64encode(base64.b64decode(value)).decode() == value)


def origin(value):
    """What C2SP asks of the first line of a checkpoint, and what fits into the one byte of a length."""
    check(isinstance(value, str) and 0 < len(value.encode()) <= ORIGIN and not any(c < " " for c in value))


def pointer(value):
    check(len(value.encode()) <= POINTER and (not value or value[0] == "/") and not re.search("~(?![01])", value))


# --- The parts ---------------------------------------------------------------------------------------------------------


def members_by(rules, needed=()):
    """A rule for an object: each member's own, and which must be there."""

    def rule(value):
        for member, inner in only(value, rules, needed).items():
            rules[member](inner)

    return rule


NAMED_BY = ["tenant", "module", "entity", "id"]
OBJECT = members_by(
    {member: name for member in [*NAMED_BY, "row", "category", "action"]} | {"operation": operation},
    [*NAMED_BY, "operation"],
)
CONTEXT = members_by({
    "reason": prose, "purpose": prose, "transaction": name, "correlation": name, "stream": name,
    "traceparent": traceparent, "tracestate": tracestate,
})
HEAD = members_by({"leaf": leaf_hash, "log": origin, "seq": whole_number, "stream": digest}, ["leaf", "log", "seq", "stream"])
SCHEMA = members_by({"uri": uri, "version": name}, ["uri"])


def actor(value, more=BEHALF):
    check(more >= 0)
    behalf = {"on_behalf_of": lambda other: actor(other, more - 1)}
    members_by({"id": name, "type": name, "roles": lambda roles: names(roles, ROLES)} | behalf, ["id"])(value)


def context(value):
    CONTEXT(value)
    check(value)


def stream_name(value):
    check(isinstance(value, list) and value)
    check({"entity": 5, "named": 3}.get(value[0] if isinstance(value[0], str) else None) == len(value))
    names(value[1:], 4)


def element(value):
    digest(only(value, ["..."], ["..."])["..."])


def place(value):
    check(isinstance(value, list) and len(value) == 1)
    element(value[0])


def groups(value, kind):
    """What stands under each class."""
    only(value, CLASSES)
    for group in value.values():
        check(isinstance(group, kind) and group)
    return value.values()


def values(value):
    """The pointers with the classes and digests of their fields."""
    forms = [form for form in ["fields", "whole"] if form in only(value, ["fields", "whole", "schema", "sides"])]
    check(len(forms) == 1 and ("sides" in value) == (forms == ["whole"]))
    check(value.get("sides", "new") in ["new", "old", "both"])
    if "schema" in value:
        SCHEMA(value["schema"])
    for group in groups(value[forms[0]], dict):
        check(len(group) <= FIELDS)
        for one, inner in group.items():
            pointer(one)
            place(inner)


def fields_fit(value):
    """What holds for all fields together."""
    form = value.get("fields", value.get("whole"))
    pointers = sorted(one for group in form.values() for one in group)
    check(len(pointers) <= FIELDS and ("whole" in value or pointers), "fields")
    check(all(one.count("/") <= TOKENS for one in pointers), "fields")
    taken = set(pointers)
    check(len(taken) == len(pointers), "fields")
    for one in pointers:
        above = [one[:at] for at in range(len(one)) if one[at] == "/"]
        check(not taken.intersection(above), "fields")


def value(raw):
    check(len(raw.encode()) <= VALUE and depth(raw) <= VALUE_DEPTH)


def field(inner, raw):
    only(inner, ["new", "old"])
    check(inner)
    for member in scan(raw)[0].values():
        value(member)


def field_fits(form, sides, one, inner, raw):
    """Which values a field may have, and how deep they may be."""
    if form == "whole":
        wanted = {"new": {"new"}, "old": {"old"}, "both": {"new", "old"}}[sides]
        check(set(inner) <= wanted and (one or set(inner) == wanted), "fields")
    for member in scan(raw)[0].values():
        check(one.count("/") + depth(member) <= VALUE_DEPTH, "fields")


def attributes(inner):
    only(inner, ["named", "external"])
    check(all(inner.values()))
    for group in groups(inner.get("named", {}), dict):
        check(len(group) <= ATTRIBUTES)
        for one, where in group.items():
            name(one)
            place(where)
    for group in groups(inner.get("external", {}), list):
        check(len(group) <= EXTERNAL)
        for where in group:
            element(where)


def attributes_fit(inner, names):
    """`names` are those of the external digests that are shown."""
    check(len(set(names)) == len(names), "fields")
    named = [one for group in inner.get("named", {}).values() for one in group]
    external = [one for group in inner.get("external", {}).values() for one in group]
    check(named or external, "fields")
    check(len(named) <= ATTRIBUTES and len(external) <= EXTERNAL and len(set(named)) == len(named), "fields")


def external(inner):
    def hexadecimal(digits):
        check(isinstance(digits, str) and re.fullmatch("[0-9a-f]{64}", digits))

    rules = {"name": name, "media_type": name, "size": whole_number, "sha256": hexadecimal}
    members_by(rules, ["name", "size", "sha256"])(inner)


# --- What is the log's own ---------------------------------------------------------------------------------------------

OWN, OWN_PREFIX = "cairn", "cairn."


def is_own_operation(thing):
    return thing["operation"].startswith(OWN_PREFIX)


def reserved(says):
    """Whether anything that is shown is the log's own, and no producer's."""
    thing, context, named = says.get("object"), says.get("context") or {}, (says.get("attributes") or {}).get("named", {})
    of_object = thing and (OWN in (thing["module"], thing["tenant"]) or is_own_operation(thing))
    of_attributes = any(one.startswith(OWN_PREFIX) for group in named.values() for one in group)
    return of_object or context.get("stream", "").startswith(OWN_PREFIX) or of_attributes


def reserved_stream(name):
    kind, tenant, second = name[:3]
    return tenant == OWN or (second == OWN if kind == "entity" else second.startswith(OWN_PREFIX))


# --- The leaf ----------------------------------------------------------------------------------------------------------


def pseudonym(value):
    check(isinstance(value, str) and len(value) == 22 and len(unb64u(value)) == 16)


def time(value):
    """RFC 3339 in UTC with six digits of the second, of a day that there is."""
    check(isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", value, re.ASCII), "leaf")
    try:
        datetime.datetime.fromisoformat(value[:-1])
    except ValueError:
        raise Refused("leaf") from None
    check(value >= "1970", "leaf")


def record_id(value):
    """RFC 9562, of version 7 or 4."""
    check(isinstance(value, str) and re.fullmatch("[0-9a-f]{8}-[0-9a-f]{4}-[47][0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", value), "leaf")
