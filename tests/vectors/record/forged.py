"""Records of this folder with something else in one of their disclosures, or in their leaf, and streams of them: each
breaks one rule, or none."""

import json

from making import digest_of, leaf_hash
from rules import b64u, unb64u
from vectors import LOG, OTHER, case, named_digest

SALT = "AAAAAAAAAAAAAAAAAAAAAA"


def disclosure(value, salt=SALT):
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return b64u(f'["{salt}",{text}]'.encode())


def held(record, digest):
    text = next(text for text in record["disclosures"] if digest_of(text) == digest)
    return json.loads(unb64u(text))[1]


def other_part(previous, name, part, value):
    """What is to be changed so that a part says something else; with another text in place of one, or a new value."""
    digest = named_digest(previous[name], part)
    value = value(held(previous[name], digest)) if callable(value) else value
    text = disclosure(value)
    return {"record": name, "left_out": [digest], "added": [text], "changed": [digest, digest_of(text)]}


def other_field(previous, name, part, field, text):
    """The same for a field of a part: its disclosure, and the one that names it."""
    old, digest = named_digest(previous[name], part, field), named_digest(previous[name], part)
    places = json.dumps(held(previous[name], digest), ensure_ascii=False, separators=(",", ":"))
    outer = disclosure(places.replace(old, digest_of(text)), "BBBBBBBBBBBBBBBBBBBBBA")
    return {"record": name, "left_out": [old, digest], "added": [text, outer], "changed": [digest, digest_of(outer)]}


def with_member(member, value):
    return lambda held: held | {member: value}


def without(member):
    return lambda held: {name: value for name, value in held.items() if name != member}


def deep(depth):
    return "[" * depth + "]" * depth


def place_of(text):
    return [{"...": digest_of(text)}]


def changed_leaf(previous, given):
    leaf = previous[given["record"]]["leaf"]
    for old, new in zip(given["changed"][::2], given["changed"][1::2]):
        leaf = leaf.replace(old.encode(), new.encode())
    return leaf


def own_head(previous):
    last = previous["licence-changed"]
    return {"leaf": last["leaf_hash"], "log": LOG, "seq": last["seq"], "stream": last["stream"]}


def openings(previous):
    def part(name, which, value, record="licence-created"):
        return case(name, **other_part(previous, record, which, value))

    def field(name, text, which="/fee", record="licence-created", part="values"):
        return case(name, **other_field(previous, record, part, which, text))

    def new(value):
        return disclosure('{"new":' + value + "}")

    name = "x" * 256
    behalf = {"id": "5"}
    for number in "4321":
        behalf = {"id": number, "on_behalf_of": behalf}
    place = [{"...": digest_of("nothing")}]
    signed = previous["licence-changed"]
    context = named_digest(signed, "context")

    def own_stream(name, value):
        text, stream = disclosure(value), named_digest(signed, "stream")
        return case(name, record="licence-changed", left_out=[context], withheld=[context], added=[text],
                    changed=[stream, digest_of(text)])

    def externals(name, names, withheld=()):
        texts = [disclosure({"name": one, "sha256": "0" * 64, "size": number}, b64u(bytes([number + 1]) * 16))
                 for number, one in enumerate(names)]
        places = {"external": {"public": [{"...": digest_of(text)} for text in texts]}}
        attributes = previous["licence-created"]
        given = other_part(previous, "licence-created", "attributes", places)
        given["left_out"] += [named_digest(attributes, "attributes", one) for one in ["channel", "ip"]]
        old = held(attributes, named_digest(attributes, "attributes"))["external"]
        given["left_out"] += [one["..."] for group in old.values() for one in group]
        given["added"] += [text for number, text in enumerate(texts) if number not in withheld]
        return case(name, **given, withheld=[digest_of(texts[number]) for number in withheld])

    own_attribute = {"named": {"public": {"cairn.x": place_of("nothing")}}}
    return [
        part("a producer of the tenant cairn", "object", with_member("tenant", "cairn"), record="licence-changed"),
        part("a producer with an operation of the log's", "object", with_member("operation", "cairn.x"),
             record="licence-changed"),
        part("a producer's operation of a name that is like one of the log's", "object", with_member("operation", "cairn"),
             record="licence-corrected"),
        part("a producer in a stream of the log's", "context", {"stream": "cairn.x"}, record="licence-changed"),
        part("a producer with an attribute of the log's", "attributes", own_attribute, record="licence-changed")
        | {"withheld": [digest_of("nothing")]},
        own_stream("a producer in a stream of the log's, the context not shown", ["named", "pb.amritsar", "cairn.x"]),
        own_stream("a producer in a stream of the tenant cairn", ["named", "cairn", "x"]),
        part("an operation of the log's", "object", with_member("operation", "cairn.continued")),
        part("an operation of the log's that corrects a record", "object", with_member("operation", "cairn.continued"),
             record="licence-corrected"),
        externals("two external digests of two names", ["a", "b"]),
        externals("two external digests of one name", ["a", "a"]),
        externals("two external digests of one name, one not shown", ["a", "a"], withheld=[1]),
        part("a name of 256 bytes", "object", with_member("row", name)),
        part("a name of 257 bytes", "object", with_member("row", name + "x")),
        part("a name of 257 bytes in 256 characters", "object", with_member("row", name[1:] + "ü")),
        part("an empty name", "object", with_member("row", "")),
        part("a control character in a name", "object", with_member("row", "a\u0085b")),
        part("an object without an entity", "object", without("entity")),
        part("a member that is not listed", "object", with_member("rows", "1")),
        part("an operation in capitals", "object", with_member("operation", "Create")),
        part("an operation of 65 bytes", "object", with_member("operation", "c" * 65)),
        part("half of a surrogate pair", "object", lambda held: json.dumps(held | {"row": "\ud800"})),
        part("a name twice in an object", "object", lambda held: json.dumps(held)[:-1] + ',"id":"x"}'),
        part("an object that is null", "object", "null"),
        part("a producer in the module cairn", "object", with_member("module", "cairn"), record="licence-changed"),
        part("nobody's key in the module cairn, in a stream of another", "object", with_member("module", "cairn")),
        part("another object than the stream's", "object", with_member("id", "PB-TL-2026-000018")),
        part("a context that names another stream", "context", with_member("stream", "doors")),
        part("a context that says nothing", "context", {}),
        part("a reason of 4096 bytes in two lines", "context", with_member("reason", "\n" + "x" * 4095)),
        part("a reason of 4097 bytes", "context", with_member("reason", "x" * 4097)),
        part("a trace of zeros", "context", with_member("traceparent", f"00-{'0' * 32}-{'1' * 16}-01")),
        part("a tracestate of 513 bytes", "context", with_member("tracestate", "x" * 513)),
        part("an actor that is behind four others", "actor", behalf),
        part("an actor that is behind five others", "actor", {"id": "0", "on_behalf_of": behalf}),
        part("64 roles", "actor", with_member("roles", ["r"] * 64)),
        part("65 roles", "actor", with_member("roles", ["r"] * 65)),
        part("256 subjects", "subjects", ["s"] * 256),
        part("257 subjects", "subjects", ["s"] * 257),
        part("no subject in the list", "subjects", []),
        part("a number without end", "subjects", "NaN"),
        part("fields and a whole document at once", "values", with_member("fields", {"public": {"/z": place}})),
        part("a whole document of no side", "values", without("sides")),
        part("a class that nobody knows", "values", {"fields": {"private": {"/z": place}}}),
        part("a class without a field", "values", {"fields": {"public": {}}}),
        part("no field", "values", {"fields": {}}),
        part("a pointer that is none", "values", {"fields": {"public": {"z": place}}}),
        part("a tilde before something else", "values", {"fields": {"public": {"/~2": place}}}),
        part("a pointer of 1025 bytes", "values", {"fields": {"public": {"/" + "x" * 1024: place}}}),
        part("two digests in one place", "values", {"fields": {"public": {"/z": place + place}}}),
        part("a schema without a URI", "values", with_member("schema", {"version": "3"})),
        part("attributes of neither kind", "attributes", {}),
        part("a class without an attribute", "attributes", {"named": {"public": {}}}),
        part("a stream of a kind that nobody knows", "stream", ["other", "a", "b"]),
        part("the name of a stream with a name too many", "stream", ["named", "a", "b", "c"]),
        part("65 topics", "topics", ["t"] * 65),
        part("a stream that continues one of its own log", "continues", own_head(previous)),
        part("a head without a number", "continues", {"leaf": previous["licence-created"]["leaf_hash"], "log": "l"}),
        field("another value", new("1")),
        field("a field without a value", disclosure("{}")),
        field("a field with a class in its own disclosure", disclosure('{"class":"public","new":1}')),
        field("an old value where there is no old document", disclosure('{"new":1,"old":1}')),
        field("nothing but an old value, and no old document", disclosure('{"old":1}')),
        field("a value as deep as it may be below one token", new(deep(61))),
        field("a value that is deeper than it may be below one token", new(deep(62))),
        field("a value that is deeper than any may be", new(deep(63))),
        field("an attribute as deep as it may be", disclosure(deep(62)), "channel", part="attributes"),
        field("a disclosure that is deeper", new(deep(64))),
        field("a number of 128 characters", new("1" * 128)),
        field("a number of 129 characters", new("1" * 129)),
        field("an exponent of nine digits behind zeros", new("-1.5E-000999999999")),
        field("an exponent of ten digits", new("1e1000000000")),
        field("an exponent of ten digits, of nothing", new("0e+1000000000")),
        field("a name twice in a value", new('{"a":1,"a":1}')),
        field("three elements in a disclosure", b64u(f'["{SALT}",{{"new":1}},2]'.encode())),
        field("a salt of 15 bytes", disclosure('{"new":1}', b64u(b"x" * 15))),
        field("the salt of another disclosure", disclosure('{"new":1}', "BBBBBBBBBBBBBBBBBBBBBA")),
        field("an attribute that is null", disclosure("null"), "channel", part="attributes"),
        field("an attribute that is deeper than it may be", disclosure(deep(63)), "channel", part="attributes"),
    ]


def redaction(previous, at=5, of="licence-created", of_class="public", in_log=LOG, **says):
    """A redaction record for the field /owner of a record, or one that says something else."""
    base = previous["owner-redacted"]
    old = {part: named_digest(base, part) for part in ["object", "values", "stream"]}
    groups = held(base, old["values"])["whole"].values()
    fields = [place[0]["..."] for group in groups for place in group.values()]
    victim = json.loads(previous[of]["leaf"].split(b"\n")[1])["event"]["id"]
    thing = disclosure(held(base, old["object"]) | {"id": victim}, "CCCCCCCCCCCCCCCCCCCCCA")
    new = {"digests": [named_digest(previous["licence-created"], "values", "/owner")], "index": 0} | says
    texts = {"/" + name: disclosure({"new": value}, b64u(bytes([number + 8]) * 16))
             for number, (name, value) in enumerate(new.items())}
    places = {pointer: place_of(text) for pointer, text in texts.items()}
    values = disclosure({"sides": "new", "whole": {of_class: places}}, "DDDDDDDDDDDDDDDDDDDDDA")
    changed = [old["object"], digest_of(thing), old["values"], digest_of(values), f'"log":"{LOG}', f'"log":"{in_log}']
    return case("", record="owner-redacted", index=at, left_out=[*old.values(), *fields], withheld=[old["stream"]],
                added=[thing, values, *texts.values()], changed=changed, log=in_log)


def redactions(previous):
    """What counts as a redaction, and what doesn't."""
    owner = named_digest(previous["licence-created"], "values", "/owner")
    actor = named_digest(previous["owner-redacted"], "actor")

    def erased(name, *redactions, **more):
        return case(name, left_out=[owner], redactions=redactions, **more)

    def of(at=5, **more):
        return redaction(previous, at, **more)

    shown = of(why="x")
    why = shown["added"][-1]
    hidden = shown | {"added": shown["added"][:-1], "withheld": [*shown["withheld"], digest_of(why)]}
    by_another = of(9, of="owner-redacted", digests=[actor], index=5)
    return [
        erased("a redaction record with a field more", shown),
        erased("a redaction record with a field more, not shown", hidden),
        erased("a redaction record whose fields are internal", of(of_class="internal")),
        erased("a redaction record that names its own log", of(log=LOG)),
        erased("a redaction record that names another log", of(log=OTHER)),
        erased("a redaction record of no index", of(index="0")),
        erased("a redaction record of an index that is its own", of(0)),
        erased("two redaction records, the later one first", of(7), of(5)),
        erased("a redaction record in the successor", of(0, in_log=OTHER, log=LOG), successors=[OTHER]),
        erased("a redaction record in a log that is not proven to be the successor", of(in_log=OTHER, log=LOG)),
        erased("a redaction record in the successor, of its own", of(in_log=OTHER), successors=[OTHER]),
        case("a redaction record is no redaction of another", record="owner-redacted", index=5, left_out=[actor],
             redactions=[by_another]),
        case("a redaction record of which something is withheld", record="owner-redacted", index=5, left_out=[actor],
             withheld=[actor]),
    ]


def streams(previous):
    """Each with its records, in order."""
    created, changed = previous["licence-created"], previous["licence-changed"]
    first, second = case("", index=3), case("", record="licence-changed", index=7)
    third = case("", record="licence-corrected", index=8)

    def stream(name, *records):
        return {"name": name, "records": list(records)}

    def with_part(record, index, which, value):
        return case("", index=index, **other_part(previous, record, which, value))

    def with_text(given, old, new):
        return given | {"changed": [old, new]}

    def withheld(given, part):
        [old, new] = given["changed"]
        return given | {"added": [], "withheld": [new]}

    corrected = json.loads(previous["licence-corrected"]["leaf"].split(b"\n")[1])
    ids = [json.loads(previous[name]["leaf"].split(b"\n")[1])["event"]["id"] for name in ["licence-created", "licence-corrected"]]
    changed_id = json.loads(changed["leaf"].split(b"\n")[1])["event"]["id"]
    stream_id = f'"stream":"{created["stream"]}"'
    later = with_text(second, "cairn.record/1", "cairn.record/2")
    after_later = leaf_hash(changed["leaf"].replace(b"cairn.record/1", b"cairn.record/2"))
    after_later = with_text(third, changed["leaf_hash"], after_later)

    def hiding(given, record, *parts):
        digests = [named_digest(previous[record], part) for part in parts]
        return given | {"left_out": [*given["left_out"], *digests], "withheld": [*given["withheld"], *digests]}

    nameless = hiding(first, "licence-created", "stream")
    unplaced = [hiding(nameless, "licence-created", "context"), hiding(second, "licence-changed", "context")]
    other_tenant = with_part("licence-corrected", 8, "object", with_member("tenant", "pb.other"))
    in_doors = hiding(with_part("licence-created", 3, "context", {"stream": "doors"}), "licence-created", "stream")


    def going_on(given, record, before, old):
        """A record that goes on from another one than it did; what the event wanted is changed as well."""
        leaf = leaf_hash(changed_leaf(previous, before))
        pairs = [f'"prev":"{old}', f'"prev":"{leaf}']
        if f'"after":{{"leaf":"{old}'.encode() in previous[record]["leaf"]:
            pairs += [f'"after":{{"leaf":"{old}', f'"after":{{"leaf":"{leaf}']
        return given | {"changed": [*(given["changed"] or []), *pairs]}

    second_in_doors = going_on(unplaced[1], "licence-changed", in_doors, created["leaf_hash"])
    unplaced_doors = [in_doors, second_in_doors]

    def after_doors(given):
        return going_on(given, "licence-corrected", second_in_doors, changed["leaf_hash"])

    other_object = with_part("licence-corrected", 8, "object", with_member("id", "PB-TL-2026-000018"))
    other_row = with_part("licence-corrected", 8, "object", with_member("row", "2"))
    elsewhere = with_part("licence-corrected", 8, "context", with_member("stream", "doors"))
    return [
        stream("good, one of a later version", first, later, after_later),
        stream("good, the first of a later version", with_text(first, "cairn.record/1", "cairn.record/10")),
        stream("one of a later version, and another leaf before", first, later, third),
        stream("one of a later version, of another number", first, later | {"changed": [*later["changed"], '"seq":1', '"seq":2']}),
        stream("one of a later version, its index does not rise", first, later | {"index": 3}),
        stream("one of a later version, and its id comes again", first, later,
               after_later | {"changed": [*after_later["changed"], f'"id":"{ids[1]}"', f'"id":"{changed_id}"']}),
        stream("no name, and all agree", nameless, second, third),
        stream("no name, and another object", nameless, second, other_object),
        stream("no name, no context, and another object", *unplaced, hiding(other_object, "licence-corrected", "context")),
        stream("no name, no context, and another tenant", *unplaced, hiding(other_tenant, "licence-corrected", "context")),
        stream("no name, and contexts that name one stream", *unplaced_doors, after_doors(elsewhere)),
        stream("no name, and contexts that name one stream, and another object", *unplaced_doors,
               after_doors(hiding(other_object, "licence-corrected", "context"))),
        stream("no name, and contexts that name two streams", *unplaced_doors,
               after_doors(with_part("licence-corrected", 8, "context", {"stream": "gates"}))),
        stream("no name, and a context that names a stream, one that names none", *unplaced_doors, after_doors(third)),
        stream("good", first, second, third),
        stream("good so far", first, second),
        stream("good, of another row", first, second, other_row),
        stream("the first is missing", second, third),
        stream("one is missing", first, third),
        stream("one comes twice", first, second, second),
        stream("in another order", first, third, second),
        stream("the index does not rise", first, second, third | {"index": 7}),
        stream("another leaf before", first, second, with_text(third, changed["leaf_hash"], created["leaf_hash"])),
        stream("another stream", first, second, with_text(third, stream_id, '"stream":"' + digest_of("x") + '"')),
        stream("the server's time goes back", first, second,
               with_text(third, corrected["server"]["time"], "2026-11-22T06:59:59.999999Z")),
        stream("the id of the first comes again", first, second, with_text(third, f'"id":"{ids[1]}"', f'"id":"{ids[0]}"')),
        stream("another object", first, second, other_object),
        stream("another object, not shown", first, second, withheld(other_object, "object")),
        stream("a context that names another stream", first, second, elsewhere),
        stream("a context that names another stream, not shown", first, second, withheld(elsewhere, "context")),
    ]
