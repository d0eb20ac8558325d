"""Server-sent events out of bytes, split by hand: an event costs one `find` and one slice.

Format: WHATWG HTML, "Server-sent events", 9.2.5. Of an event only its data counts here; a completion's servers send
nothing else but comments.
"""


class EventStream:
    """Takes pieces of a body as they come, and gives the data of each event that is whole."""

    def __init__(self) -> None:
        self._rest = b""

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of the events that `piece` completes, in order; an event without data, or an empty one, is none."""
        text = self._rest + piece
        held = b""
        if b"\r" in text:  # no server that we know sends any: JSON writes it as an escape
            if text.endswith(b"\r"):  # perhaps the first half of a line's end
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *events, rest = text.split(b"\n\n")
        self._rest = rest + held
        found = []
        for event in events:
            is_simple = event.startswith(b"data: ") and b"\n" not in event
            data = event[6:] if is_simple else _data(event)
            if data:
                found.append(data)
        return found


def _data(event: bytes) -> bytes:
    """Of an event of several lines, or of another form."""
    lines = []
    for line in event.split(b"\n"):
        name, _, value = line.partition(b":")
        if name == b"data":
            lines.append(value.removeprefix(b" "))
    return b"\n".join(lines)
