"""Ed25519 (RFC 8032, section 5.1) as docs/record.md wants it verified: slow, not constant-time, for vectors only."""

import hashlib

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
    total = IDENTITY
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
IDENTITY = (0, 1, 1, 0)


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


def negative(point):
    x, y, z, t = point
    return -x % P, y, z, -t % P


def usable(data):
    """The point, if this is its canonical encoding and it is not of small order."""
    try:
        point = unpack(data)
    except AssertionError:
        return None
    is_small = pack(times(8, point)) == pack(IDENTITY)
    return None if is_small or pack(point) != data else point


def is_signed(key, message, signature):
    """Rules 1 to 3 of docs/record.md, section "The leaf"."""
    commitment, response = signature[:32], int.from_bytes(signature[32:], "little")
    point = usable(key)
    if point is None or usable(commitment) is None or response >= L:
        return False
    challenge = number_of(commitment, key, message) % L
    return pack(add(times(response, BASE), times(challenge, negative(point)))) == commitment
