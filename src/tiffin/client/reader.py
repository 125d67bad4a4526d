"""Reading an answer from the bytes that come over a connection."""

from __future__ import annotations

import httptools

from tiffin.client.exchange import Answer, Overlong

_MOST_HEAD_BYTES = 64 << 10


class AnswerReader:
    """One answer of HTTP/1.1, as it comes.

    Messages that only say that an answer will come (1xx) are passed over, and trailers after a body are.

    Parameters
    ----------
    most_bytes : int
        How long it may be, headers and all.
    is_tunnel : bool
        Whether the question is one for a tunnel: then the answer that it stands has no body, and what follows is
        the tunnel's.
    """

    def __init__(self, most_bytes: int, *, is_tunnel: bool = False) -> None:
        self.is_whole = False
        self.keeps_open = False
        """Whether the connection can carry another question."""
        self._most_bytes = most_bytes
        self._is_tunnel = is_tunnel
        self._is_final = False
        self._seen = 0
        self._status = 0
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self._parser = httptools.HttpResponseParser(self)

    def feed(self, data: bytes) -> bool:
        """Take what came; tell whether the answer is whole.

        Parameters
        ----------
        data : bytes
            What came next; nothing, if the server sends no more.

        Raises
        ------
        ConnectionError
            What came is no answer, ends too early, or is too long.
        """
        if not data:
            self._end()
            return True
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.keeps_open = False
            if not self.is_whole:
                raise ConnectionError(f"what came is no answer: {error}") from error
        self._seen += len(data)
        if self._seen > self._most_bytes:
            raise Overlong(f"the answer has more than {self._most_bytes:,} bytes")
        if not self._is_final and self._seen > _MOST_HEAD_BYTES:
            raise ConnectionError(f"what came has more than {_MOST_HEAD_BYTES:,} bytes of headers")
        return self.is_whole

    def answer(self) -> Answer:
        """Return the answer, once it is whole."""
        body = self._body
        return Answer(self._status, self._headers, body[0] if len(body) == 1 else b"".join(body))

    def on_message_begin(self) -> None:
        """Refuse what comes after the answer: nobody asked for it."""
        if self.is_whole:
            raise ValueError("more came than was asked for")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        if not self._is_final:
            self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """Notice whether this is the answer."""
        self._status = self._parser.get_status_code()
        self._is_final = self._status >= 200
        self.is_whole = self._is_tunnel and self._is_final

    def on_body(self, data: bytes) -> None:
        """Take a piece of the body."""
        self._body.append(data)

    def on_message_complete(self) -> None:
        """Notice that the answer is whole, if it is not only that one will come."""
        self.is_whole = self._is_final
        self.keeps_open = self._is_final and self._parser.should_keep_alive()
        if not self._is_final:
            self._headers.clear()

    def _end(self) -> None:
        is_bounded = "content-length" in self._headers or "transfer-encoding" in self._headers
        if not self._is_final:
            raise ConnectionError("the connection was closed without an answer")
        if is_bounded:
            raise ConnectionError("the answer ended too early")
        self.is_whole = True
