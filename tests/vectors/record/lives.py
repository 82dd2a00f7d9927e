"""What is replayed: streams of records in the native form, and which of them, in which view, up to where."""

import json

IDS = [f"018bcfe5-6800-7000-8000-{number:012x}" for number in range(16)]
ERASED_BY = 1_000


def time(number):
    """A second for each record, from 2023-11-14T22:13:20Z on."""
    return f"2023-11-14T22:13:{20 + number:02}.000000Z"


def record(operation, values=None, hidden=None, **more):
    return {"operation": operation, "values": values, "hidden": hidden or {}} | more


def whole(operation, new, **more):
    return record(operation, '{"whole":{"new":' + new + "}}", **more)


def fields(changes, hidden=None, **more):
    return record("update", '{"fields":' + changes + "}", hidden, **more)


def written(number, given):
    """A record with its place, in the native form as text: numbers stay as they are written."""
    thing = {"tenant": "pb", "module": "tl", "entity": "license", "id": "L-1", "operation": given["operation"]}
    thing |= given.get("object", {})
    members = {"id": json.dumps(IDS[number]), "time": json.dumps(given.get("time", time(number)))}
    if "replaces" in given:
        members["replaces"] = json.dumps(IDS[given["replaces"]])
    members["object"] = json.dumps(thing)
    if "context" in given:
        members["context"] = json.dumps(given["context"])
    if given["values"]:
        members["values"] = given["values"]
    if "rules" in given:
        members["classification"] = json.dumps({"values": given["rules"]})
    text = "{" + ",".join(f'"{name}":{value}' for name, value in members.items()) + "}"
    return {
        "record": text,
        "seq": number,
        "index": 3 * number,
        "server_time": time(number),
        "erased_by": ERASED_BY + number,
        "hidden": given["hidden"],
        "is_later": given.get("is_later", False),
    }


def case(name, *records, view="recorded", until=None):
    return {"name": name, "records": [written(*pair) for pair in enumerate(records)], "view": view, "until": until}


ERASED, WITHHELD = "erased", "withheld"


def hide(*pointers, how=WITHHELD):
    return {f"values {pointer}": how for pointer in pointers}


def on(state, changes, hidden=None):
    """A document, and a record that changes fields of it."""
    return whole("create", state), fields(changes, hidden)


def cases():
    return [*lives(), *arrays(), *objects(), *unseen_fields(), *unseen_records(), *corrections()]


def lives():
    old = lambda text: record("delete", '{"whole":{"old":' + text + "}}")
    both = lambda old, new: record("update", '{"whole":{"old":' + old + ',"new":' + new + "}}")
    return [
        case("nothing"),
        case("a whole document, changed, replaced, ended, and begun again", whole("create", '{"a":1.0,"n":null}'),
             record("read"), fields('{"/a":{"old":1,"new":2},"/n":{"old":null}}'), whole("update", "[1]"),
             old("[1.0]"), whole("create", "{}")),
        case("created without values", record("create")),
        case("created without values, then changed", record("create"), fields('{"/a/b":{"new":1}}')),
        case("created without values, updated without values", record("create"), record("update")),
        case("created on a live one", whole("create", '{"a":1}'), whole("create", '{"b":1}')),
        case("created on a live one, by fields", whole("create", '{"a":1}'),
             record("create", '{"fields":{"/b":{"new":1}}}')),
        case("updated when absent", fields('{"/a":{"new":1}}')),
        case("updated without values when absent", record("update")),
        case("deleted when absent", record("delete"), record("delete")),
        case("deleted with values that are not its", whole("create", '{"a":1,"b":2}'), old('{"a":2,"c":1}')),
        case("old values that differ in as many places as are shown", whole("create", many(256, 1)), old(many(256, 2))),
        case("old values that differ in more places", whole("create", many(300, 1)), old(many(300, 2))),
        case("deleted by fields", whole("create", '{"a":1}'), record("delete", '{"fields":{"/a":{"old":2}}}')),
        case("the document is put, and removed", whole("create", '{"a":1}'), fields('{"":{"new":[1]}}'),
             fields('{"":{"old":[1]}}'), record("update"), fields('{"/x":{"new":1}}')),
        case("both documents", whole("create", '{"a":1,"b":[1,{"c":2}]}'), both('{"b":[1.0,{"c":3}],"d":1}', '{"e":{}}')),
        case("both documents, neither an object", whole("create", "1"), both("2", "[3]")),
        case("both documents, one an object", whole("create", "{}"), both("{}", "4")),
        case("a document cut deeper", record("create", '{"whole":{"new":{"a":{"b":1,"c":{}},"d":{"e":2}}}}',
             rules={"/a/b": "secret", "/d/x": "secret"})),
        case("operations of one's own, and their values", whole("create", '{"a":1}'),
             record("license.approved", '{"whole":{"new":{"a":2}}}')),
        case("rows are kept apart", whole("create", '{"a":1}', object={"row": "1"}),
             whole("create", '{"a":2}', object={"row": "2"}), whole("create", '{"a":0}'),
             record("delete", object={"row": "1"})),
        case("objects of a named stream are kept apart", whole("create", "1", context={"stream": "s"}),
             whole("create", "2", object={"id": "L-0"}, context={"stream": "s"}),
             whole("create", "3", object={"entity": "a"}, context={"stream": "s"})),
        case("numbers and texts are kept as they are written, and compared by what they are worth",
             whole("create", '{"a":1.50,"b":1e2,"c":"\\u00fc\\/","d":-0}'),
             fields('{"/a":{"old":15e-1,"new":1.5000000000000000000000001},"/b":{"old":100.0,"new":1E+2},'
                    '"/c":{"old":"\u00fc/","new":"\\t"},"/d":{"old":0,"new":0.0}}')),
        case("numbers with exponents are compared by what they are worth",
             whole("create", '{"a":0e5,"b":1e999999999,"c":-0.00E-7,"d":1e-999999999,"e":1e0000000005}'),
             fields('{"/a":{"old":0},"/b":{"old":100e999999997},"/c":{"old":-0},"/d":{"old":1e999999999},'
                    '"/e":{"old":100000}}')),
    ]


def many(count, value):
    return "{" + ",".join(f'"{number:03}":{value}' for number in range(count)) + "}"


def arrays():
    l4 = '{"l":[0,1,2,3]}'
    return [
        case("an index below the length", *on(l4, '{"/l/0":{"new":"a"},"/l/3":{"new":"b"}}')),
        case("the length appends", *on(l4, '{"/l/4":{"new":"a"}}')),
        case("what comes after the length appends, without a gap", *on(l4, '{"/l/5":{"new":"b"},"/l/4":{"new":"a"}}')),
        case("a gap", *on(l4, '{"/l/5":{"new":"b"},"/l/7":{"new":"d"},"/l/4":{"new":"a"}}')),
        case("indexes are in the order of numbers", *on("[]", "{" + ",".join(
            f'"/{n}":{{"new":{n}}}' for n in [10, 2, 1, 0, 3, 9, 8, 7, 6, 5, 4]) + "}")),
        case("a hyphen appends", *on(l4, '{"/l/-":{"new":"a"}}')),
        case("a hyphen comes after indexes", *on(l4, '{"/l/-":{"new":"b"},"/l/4":{"new":"a"}}')),
        case("a hyphen on the way is no place", *on(l4, '{"/l/-/a":{"new":1}}')),
        case("a hyphen in an object is a name", *on('{"o":{}}', '{"/o/-":{"new":1},"/o/0":{"new":2}}')),
        case("removals are of the elements that were there", *on(l4, '{"/l/1":{"old":1},"/l/2":{"old":2},"/l/3":{"new":"x"}}')),
        case("removals and what is appended", *on(l4, '{"/l/0":{"old":0},"/l/4":{"new":4},"/l/-":{"new":5}}')),
        case("all are removed", *on("[0,1]", '{"/0":{"old":0},"/1":{"old":1}}')),
        case("a removal at the length", *on(l4, '{"/l/4":{"old":4}}')),
        case("a removal past the length, and one at a hyphen", *on(l4, '{"/l/9":{"old":4},"/l/-":{"old":1}}')),
        case("a removal at the length is not of what a hyphen appends", *on(l4, '{"/l/4":{"old":4},"/l/-":{"new":"a"}}')),
        case("no gap is filled by a removal", *on(l4, '{"/l/4":{"old":4},"/l/5":{"new":5}}')),
        case("other tokens are no places", *on(l4, '{"/l/x":{"new":1},"/l/00":{"new":1},"/l/-1":{"new":1},'
             '"/l/18446744073709551616":{"new":1},"/l/1e0":{"new":1},"/l/":{"new":1}}')),
        case("within elements", *on('{"l":[{"a":1},[1,2],3]}',
             '{"/l/0/a":{"old":1},"/l/0/b":{"new":2},"/l/1/0":{"old":1},"/l/1/-":{"new":3},"/l/2/x":{"new":1}}')),
        case("within elements, while others go", *on('[{"a":1},{"a":2},{"a":3}]',
             '{"/0":{"old":{"a":1}},"/1":{"old":{"a":2}},"/2/a":{"old":3,"new":4}}')),
        case("new elements are objects", *on("[]", '{"/0/a":{"new":1},"/0/b":{"new":2},"/1/0":{"new":3},"/1/-":{"new":4}}')),
        case("a removal within a new element", *on("[]", '{"/0/a":{"new":1},"/0/b":{"old":2}}')),
        case("a removal within no element", *on("[]", '{"/0/a":{"old":1}}')),
        case("arrays in arrays", *on("[[[1]]]", '{"/0/0/0":{"old":1},"/0/0/1":{"new":2},"/0/1":{"new":3},"/1":{"new":4}}')),
        case("old values at places that are none", *on("[1]", '{"/-":{"old":1,"new":2},"/01":{"old":1,"new":2}}')),
    ]


def objects():
    return [
        case("what is missing on the way is made", *on("{}", '{"/a/b/c":{"new":1},"/a/d":{"new":2}}')),
        case("nothing is made for a removal", *on("{}", '{"/a/b":{"old":1}}')),
        case("nothing is made for a removal beside something", *on("{}", '{"/a/b":{"old":1},"/a/c/d":{"new":1}}')),
        case("through values without members", *on('{"a":1,"b":null,"c":"x"}',
             '{"/a/b":{"new":1},"/b/c":{"new":1},"/c/0":{"new":1},"/c/1":{"old":1}}')),
        case("escaped names", *on('{"a/b":{"~":1},"":2}', '{"/a~1b/~0":{"old":1,"new":2},"/":{"old":2},"/~01":{"new":3}}')),
        case("members of one name and another's beginning", *on('{"a":{"b":1},"ab":1,"a!":1}',
             '{"/a/b":{"old":1},"/ab":{"old":1},"/a!":{"old":1}}')),
    ]


def unseen_fields():
    l3 = '{"l":[0,1,2],"o":{"x":1}}'
    document = '{"name":"Ann","city":"x","tax":1}'
    return [
        case("of a whole document", whole("create", document, hidden=hide("/name", how=ERASED) | hide("/tax"))),
        case("of a whole document that is one value", whole("create", "[1]", hidden=hide(""))),
        case("of a whole document that is cut deeper", record("create", '{"whole":{"new":{"a":{"b":1}}}}', hide("/a/b"),
             rules={"/a/b": "secret"})),
        case("of both documents, cut deeper", whole("create", "{}"), record("update",
             '{"whole":{"old":{"a":{"b":1}},"new":{"a":{"b":2}}}}', hide("/a/b"), rules={"/a/b": "secret"})),
        case("of both documents, which are one value", whole("create", "1"),
             record("update", '{"whole":{"old":1,"new":2}}', hide(""))),
        case("within it nothing can be changed", whole("create", document, hidden=hide("/name")),
             fields('{"/name/first":{"new":1},"/city":{"old":"x","new":"y"}}')),
        case("it is unknown until it is put again", whole("create", document, hidden=hide("/name", how=ERASED)),
             fields('{"/name":{"old":"Ben","new":"Eve"}}')),
        case("it is unknown until it is removed", whole("create", document, hidden=hide("/name")),
             fields('{"/name":{"old":"Ben"}}')),
        case("the last says why", whole("create", document, hidden=hide("/name", how=ERASED)),
             fields('{"/name":{"new":"Ben"}}', hide("/name"))),
        case("a member that is there, and one that is not", *on(l3, '{"/o/x":{"old":1,"new":2},"/o/y":{"new":1}}',
             hide("/o/x", "/o/y"))),
        case("a member that is missing on the way", *on(l3, '{"/p/q/r":{"new":1}}', hide("/p/q/r"))),
        case("a member on the way that another field makes", *on(l3, '{"/p/q/r":{"new":1},"/p/s":{"new":1}}', hide("/p/q/r"))),
        case("a member on the way that only removals lead through", *on(l3, '{"/p/q":{"new":1},"/p/s":{"old":1}}', hide("/p/q"))),
        case("an element", *on(l3, '{"/l/1":{"new":9}}', hide("/l/1"))),
        case("an element, others beside it", *on(l3, '{"/l/0":{"old":0},"/l/1":{"new":9},"/l/-":{"new":4},"/l/7":{"new":1}}',
             hide("/l/1"))),
        case("an element to come", *on(l3, '{"/l/3":{"new":9}}', hide("/l/3"))),
        case("an element to come, and one after it", *on(l3, '{"/l/3":{"new":9},"/l/4":{"new":9}}', hide("/l/3"))),
        case("an element at a hyphen", *on(l3, '{"/l/-":{"new":9}}', hide("/l/-"))),
        case("no element in any case", *on(l3, '{"/l/5":{"new":9},"/l/x":{"new":1}}', hide("/l/5", "/l/x"))),
        case("within an element", *on('[{"a":1},[1],2]', '{"/0/a":{"old":1},"/1/0":{"old":1},"/2":{"old":2}}', hide("/0/a"))),
        case("an element of an element", *on('[{"a":1},[1],2]', '{"/1/0":{"old":1},"/0":{"old":{"a":1}}}', hide("/1/0"))),
        case("within an element to come", *on("[]", '{"/0/a":{"new":1}}', hide("/0/a"))),
        case("within an element to come that another field makes", *on("[]", '{"/0/a":{"new":1},"/0/b":{"new":2}}', hide("/0/a"))),
        case("the document", *on(l3, '{"":{"new":1}}', hide("", how=ERASED))),
        case("in a document that there is not", record("create"), fields('{"/a":{"new":1}}', hide("/a"))),
        case("in a document that another field makes", record("create"),
             fields('{"/a":{"new":1},"/b":{"new":1}}', hide("/a"))),
        case("erased before withheld", *on("{}", '{"/p/a":{"new":1},"/p/b":{"new":1}}',
             hide("/p/a") | hide("/p/b", how=ERASED))),
        case("erased before withheld, in an array", *on("[0,1,2]", '{"/0":{"new":1},"/2":{"new":1},"/-":{"new":1}}',
             hide("/0", "/-") | hide("/2", how=ERASED))),
        case("old values are not compared with it", whole("create", document, hidden=hide("/name")),
             record("update", '{"whole":{"old":{"name":"Ben","city":"x","tax":1},"new":{}}}')),
        case("old values that differ beside it", whole("create", document, hidden=hide("/name")),
             record("update", '{"whole":{"old":{"city":"y","tax":1},"new":{}}}')),
        case("old values that are not shown", whole("create", document),
             record("delete", '{"whole":{"old":{"name":"Ben","city":"x","tax":2}}}', hide("/name"))),
    ]


def unseen_records():
    values, thing = {"values": WITHHELD}, {"object": WITHHELD}
    return [
        case("values of a create", whole("create", '{"a":1}', hidden=values), fields('{"/a":{"old":2,"new":2}}')),
        case("values of an update", whole("create", '{"a":1}'), whole("update", '{"a":2}', hidden={"values": ERASED})),
        case("values of an update when absent", whole("update", '{"a":2}', hidden=values)),
        case("values of a delete", whole("create", '{"a":1}'), record("delete", '{"whole":{"old":1}}', values)),
        case("an object, then nothing that says all", whole("create", '{"a":1}'), record("delete", hidden=thing),
             fields('{"/a":{"old":2,"new":2}}')),
        case("an object, then a create", whole("create", '{"a":1}'), record("delete", hidden=thing), whole("create", '{"a":2}')),
        case("an object, then a whole update", whole("create", '{"a":1}'), record("delete", hidden=thing),
             whole("update", '{"a":2}')),
        case("an object, then a delete", whole("create", '{"a":1}'), record("delete", hidden=thing), record("delete"),
             record("delete")),
        case("an object, first of all", whole("create", '{"a":1}', hidden={"object": ERASED}), fields('{"/b":{"new":1}}')),
        case("an object, then rows that nobody had seen", record("create", hidden=thing),
             record("update", object={"row": "1"}), record("delete", object={"row": "2"}),
             whole("create", "1", object={"row": "3"}), record("update")),
        case("a record of a later version", whole("create", '{"a":1}'), fields('{"/a":{"new":2}}', is_later=True),
             fields('{"/a":{"old":3,"new":4}}'), whole("update", '{"a":5}'), record("delete", object={"row": "1"})),
        case("a record of a later version, which one corrects", whole("create", '{"a":1}'),
             whole("update", '{"a":2}', is_later=True), whole("update", '{"a":3}', replaces=1), view="corrected"),
        case("an object of an operation of one's own is as good as any", whole("create", "1"), record("read", hidden=thing)),
    ]


def corrections():
    chain = [
        whole("create", '{"fee":1}'),
        fields('{"/paid":{"old":false,"new":true}}'),
        whole("create", '{"fee":2,"paid":false}', replaces=0),
        whole("create", '{"fee":3,"paid":false}', replaces=2),
        record("note", replaces=1),
    ]
    late = [
        whole("create", '{"a":1}', time=time(30)),
        fields('{"/a":{"new":3}}', time=time(32)),
        fields('{"/a":{"new":2},"/b":{"new":2}}', time=time(31)),
        fields('{"/a":{"new":4}}', time=time(31)),
        fields('{"/c":{"new":1}}', time=time(39), replaces=2),
    ]
    out = []
    for view in ["recorded", "corrected"]:
        for until in [{"seq": 0}, {"seq": 1}, {"seq": 2}, {"seq": 4}, {"server_time": time(1)}, {"server_time": "2023-11-14T22:13:20.999999Z"}, None]:
            out.append(case(f"corrections, {view}, up to {until}", *chain, view=view, until=until))
        for until in [time(30), time(31), time(32), time(39)]:
            until = {"producer_time": until}
            out.append(case(f"late records, {view}, up to {until}", *late, view=view, until=until))
        out.append(case(f"corrections that branch, {view}", whole("create", "0"), whole("update", "1"),
                        whole("update", "2", replaces=1), whole("update", "3", replaces=1),
                        whole("update", "4", replaces=2), view=view))
        out.append(case(f"a correction of nothing that is known, itself corrected, {view}", whole("create", "1"),
                        whole("update", "2", replaces=9), whole("update", "3", replaces=1), view=view))
        out.append(case(f"a correction of another object, {view}", whole("create", "1", context={"stream": "s"}),
                        whole("create", "2", object={"id": "L-2"}, context={"stream": "s"}, replaces=0),
                        whole("update", "3", object={"id": "L-2"}, context={"stream": "s"}, replaces=1), view=view))
        out.append(case(f"a correction through one that is not shown, of another object, {view}",
                        whole("create", "1", context={"stream": "s"}),
                        whole("create", "2", context={"stream": "s"}, replaces=0, hidden={"object": WITHHELD}),
                        whole("create", "3", object={"id": "L-2"}, context={"stream": "s"}, replaces=1), view=view))
        out.append(case(f"a correction of nothing that is known, {view}", whole("create", "1", replaces=0),
                        record("update", replaces=2), record("update"), view=view))
        out.append(case(f"a correction whose object is not shown, {view}", whole("create", "1"), whole("create", "2"),
                        record("create", replaces=0, hidden={"object": WITHHELD}), view=view))
        out.append(case(f"a correction of another row, {view}", whole("create", "1"), whole("update", "2"),
                        whole("create", "3", replaces=0, object={"row": "r"}), view=view))
    return out
