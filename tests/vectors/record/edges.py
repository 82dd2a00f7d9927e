"""The edges of Ed25519: keys and signatures on which verifiers differ, and what docs/record.md says of each.

The kinds of cases are those of Chalkias, Garillot and Nikolaenko, "Taming the many EdDSAs" (SSR 2020), section 5; the
cases themselves are made here, since what is signed names its key.
"""

from ed25519 import BASE, IDENTITY, L, P, add, negative, number_of, pack, secret_of, times, unpack, usable

SIGN = 1 << 255


def torsion():
    """A point of order 8."""
    for y in range(2, 100):
        try:
            point = times(L, unpack(y.to_bytes(32, "little")))
        except AssertionError:
            continue
        if pack(times(4, point)) != pack(IDENTITY):
            return point


T = torsion()
SMALL = [pack(times(number, T)) for number in range(8)]
# y = p is 0 and y = p + 1 is 1; and where x is 0, its sign says nothing, but stands there.
TWICE = [number.to_bytes(32, "little") for number in [P, P | SIGN, P + 1, P + 1 | SIGN, 1 | SIGN, P - 1 | SIGN]]


def equal(left, right):
    return pack(left) == pack(right)


def equal_times_8_only(left, right):
    return not equal(left, right) and equal(times(8, left), times(8, right))


def found(key, commitment, nonce, secret, wanted, event_of, signed_bytes):
    """An event, and a signature of it for which the two sides of the equation are as wanted: by chance, which many events
    give the challenge."""
    for number in range(1_000):
        event = event_of(key, number)
        challenge = number_of(commitment, key, signed_bytes(event)) % L
        response = (nonce + challenge * secret) % L
        left = add(times(response, BASE), times(challenge, negative(unpack(key))))
        if wanted(left, unpack(commitment)):
            return event, commitment + response.to_bytes(32, "little")
    raise AssertionError("no such signature")


def cases(event_of, signed_bytes):
    """Each with its name, key, event and signature; `event_of` makes an event that names a key, one for each number."""
    secret = secret_of(bytes(range(32)))[0]
    nonce = secret_of(bytes(32))[0]
    pure, mixed = pack(times(secret, BASE)), pack(add(times(secret, BASE), T))
    pure_r, mixed_r = pack(times(nonce, BASE)), pack(add(times(nonce, BASE), T))
    out = []

    def case(name, key, commitment, wanted, change=lambda response: response, nonce=nonce, secret=secret):
        event, value = found(key, commitment, nonce, secret, wanted, event_of, signed_bytes)
        response = change(int.from_bytes(value[32:], "little"))
        value = commitment + response.to_bytes(32, "little")
        out.append({"name": name, "key": key.hex(), "event": event, "signature": value})

    case("as signers make it", pure, pure_r, equal)
    case("another S", pure, pure_r, equal, lambda response: response ^ 1)
    case("S + L", pure, pure_r, equal, lambda response: response + L)
    case("S + 15 L", pure, pure_r, equal, lambda response: response + 15 * L)
    parts = "with a part of small order"
    case(f"a key {parts}, an R likewise, the equation holds", mixed, mixed_r, equal)
    case(f"a key {parts}, an R likewise, with the cofactor alone", mixed, mixed_r, equal_times_8_only)
    case(f"a key {parts}, the equation holds", mixed, pure_r, equal)
    case(f"a key {parts}, with the cofactor alone", mixed, pure_r, equal_times_8_only)
    case(f"an R {parts}, with the cofactor alone", pure, mixed_r, equal_times_8_only)
    for number, commitment in enumerate(SMALL):
        key = mixed if number else pure
        case(f"an R of small order, {number} T, the equation holds", key, commitment, equal, nonce=0)
    for number, commitment in enumerate(TWICE):
        case(f"an R of small order in encoding {number} that is not its own", mixed, commitment, equal, nonce=0)
    for number, key in enumerate(SMALL + TWICE):
        case(f"a key of small order, encoding {number}, the equation holds", key, pure_r, equal, secret=0)
        case(f"key and R of small order, encoding {number}, S is 0", key, SMALL[0], equal, nonce=0, secret=0)
    # On the curve, of large order, and written with p added: nobody knows its secret, and nobody can take it for a key.
    for number in range(2, 19):
        key = (P + number).to_bytes(32, "little")
        try:
            unpack(key)
        except AssertionError:
            continue
        case(f"a key that is not the encoding of its point, y is {number}", key, pure_r, equal_or_not, secret=0)
    return out


def equal_or_not(_left, _right):
    return True


def outcome(case, is_signed, signed_bytes):
    key = bytes.fromhex(case["key"])
    if usable(key) is None:
        return "no key"
    return "good" if is_signed(key, signed_bytes(case["event"]), case["signature"]) else "refused"
