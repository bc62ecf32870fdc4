"""Servers behind the load balancer, in threads of the test process. They count, record, and misbehave on request."""

import contextlib
import itertools
import socket
import struct
import threading

from harness.ports import family

# Inside the default subnet, away from where VIPs are given out.
ADDRESS = "127.88.250.1"


class TcpMember:
    """A listening socket whose connections run `serve` in threads of their own.

    Subclasses override `serve`. `name` is what it answers with; `connections` counts all it ever accepted; `open` those that
    live; `gate` is an event that handlers may wait for.
    """

    #: What the system takes for a connection that is not read, in bytes; None: what it likes.
    receive_buffer = None

    BACKLOG = 1024  # connections that may wait to be accepted

    def __init__(self, name="member", *, address=ADDRESS, port=0):
        self.name, self.address, self.port = name, address, port
        self.connections = 0
        self.gate = threading.Event()
        self._lock = threading.Lock()
        self._open = {}
        self._listener = None
        self.start()

    @property
    def open(self):
        """How many connections live now."""
        with self._lock:
            return len(self._open)

    def start(self):
        """Listens (again, on the same port)."""
        listener = socket.socket(family(self.address))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if self.receive_buffer:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)
        listener.bind((self.address, self.port))
        listener.listen(self.BACKLOG)
        self.port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def refuse(self):
        """Closes the listening socket: new connections are refused, those that live go on."""
        listener, self._listener = self._listener, None
        if listener:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()

    def cut(self):
        """Closes every connection that lives."""
        with self._lock:
            living = list(self._open.values())
        for connection in living:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def stop(self):
        """As if its process ended."""
        self.refuse()
        self.gate.set()
        self.cut()

    def _accept(self, listener):
        for number in itertools.count():
            try:
                connection, peer = listener.accept()
            except OSError:
                return
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                self.connections += 1
                key = (number, id(connection))
                self._open[key] = connection
            threading.Thread(target=self._run, args=(key, connection, peer), daemon=True).start()

    def _run(self, key, connection, peer):
        try:
            self.serve(connection, peer)
        except OSError:
            pass  # the other side went away
        finally:
            with self._lock:
                self._open.pop(key, None)
            connection.close()

    def serve(self, connection, peer):
        """What happens on a connection; it is closed afterwards."""
        raise NotImplementedError

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class EchoMember(TcpMember):
    """Sends back what comes; at the end of input it says its name and ends too."""

    def serve(self, connection, peer):
        while data := connection.recv(65536):
            connection.sendall(data)
        connection.sendall(f"<{self.name}>".encode())


class DatagramMember:
    """Sends every datagram back to where it came from."""

    def __init__(self, name="datagrams", *, address=ADDRESS, port=0):
        self.name, self.address = name, address
        self._socket = socket.socket(family(address), socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
        self._socket.bind((address, port))
        self.port = self._socket.getsockname()[1]
        self._ended = False
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._ended:
            data, peer = self._socket.recvfrom(65535)
            self._socket.sendto(data, peer)
        self._socket.close()

    def stop(self):
        """Ends it; a datagram ends the wait of its thread."""
        self._ended = True
        with socket.socket(self._socket.family, socket.SOCK_DGRAM) as waker:
            waker.sendto(b"", (self.address, self.port))
        self._thread.join(5)


class GreetMember(TcpMember):
    """Says its name first, then keeps the connection until the client ends it."""

    def serve(self, connection, peer):
        connection.sendall(self.name.encode() + b"\n")
        while connection.recv(65536):
            pass


class ScriptMember(TcpMember):
    """Runs the function it was given: `script(connection, member)`. `received` gathers what `read_head` saw."""

    def __init__(self, script, name="script", **where):
        self.script = script
        self.received = []
        super().__init__(name, **where)

    def serve(self, connection, peer):
        self.script(connection, self)

    def read_head(self, connection):
        """One request head, recorded; empty at the end of input."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = connection.recv(65536)
            if not piece:
                break
            data += piece
        if data:
            self.received.append(data)
        return data


def answers(*pieces, then="close"):
    """A script: for each request head, all these bytes, each as one write; then "close", "reset", "hold" or "again"."""
    def script(connection, member):
        while True:
            if not member.read_head(connection):
                return
            for piece in pieces:
                connection.sendall(piece)
            if then == "hold":
                member.gate.wait(60)
                return
            if then == "reset":
                reset(connection)
                return
            if then == "close":
                return
    return script


def reset(connection):
    """Closes with RST."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


class FullBacklog:
    """An address whose connection queue is full: a connect to it gets no answer at all."""

    def __init__(self, address=ADDRESS):
        self.name, self.address = "full", address
        self._listener = socket.socket()
        self._listener.bind((address, 0))
        self._listener.listen(0)
        self.port = self._listener.getsockname()[1]
        self._fill = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex((address, self.port))
            self._fill.append(filler)

    def stop(self):
        """Frees it."""
        for one in [*self._fill, self._listener]:
            one.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
