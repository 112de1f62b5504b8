"""HomeKit's TLV8, read strictly: what is cut short or said twice is refused, not guessed."""

LONGEST_FRAGMENT = 255


class Malformed(Exception):
    """A request that no controller sends."""


class Fields(dict[bytes, bytes]):
    """Tag to value; a tag that is not there makes the request malformed."""

    def __missing__(self, tag: bytes) -> bytes:
        raise Malformed(f"no field {tag.hex()}")


def decode(data: bytes) -> Fields:
    """The fields of a request; raises Malformed.

    A value longer than 255 bytes comes in fragments one after the other, all but the last of
    255 bytes. Anything else under a tag that was there already is an error.
    """
    fields = Fields()
    position, last, continues = 0, b"", False
    while position < len(data):
        tag = data[position : position + 1]
        length = data[position + 1] if position + 1 < len(data) else 0
        value = data[position + 2 : position + 2 + length]
        position += 2 + length
        if position > len(data):
            raise Malformed("cut short")
        if tag not in fields:
            fields[tag] = value
        elif tag == last and continues:
            fields[tag] += value
        else:
            raise Malformed(f"field {tag.hex()} twice")
        last, continues = tag, length == LONGEST_FRAGMENT
    return fields
