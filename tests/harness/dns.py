"""A name server behind the load balancer, over UDP and TCP, and clients with ports of their own."""

import socket
import struct
import threading

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rrset

from harness.members import ADDRESS, TcpMember


class DnsMember(TcpMember):
    """Answers every question with a TXT record that holds its name; long answers are cut over UDP, as real servers do.

    `questions` counts those that came over UDP, `peers` are the addresses that they came from. A name that begins with `long`
    has an answer that fits into no datagram; one that begins with `silent` has none.
    """

    LIMIT = 1232

    def __init__(self, name="dns", **options):
        self.questions, self.peers = 0, set()
        self._datagrams = None
        super().__init__(name, **options)

    def start(self):
        """Serves both (again, on the same port)."""
        super().start()
        datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        datagrams.bind((self.address, self.port))
        self._datagrams = datagrams
        threading.Thread(target=self._answer, args=(datagrams,), daemon=True).start()
        return self

    def refuse(self):
        """Closes both sockets: datagrams meet `port unreachable`."""
        super().refuse()
        datagrams, self._datagrams = self._datagrams, None
        if datagrams:
            # A thread that waits in a socket keeps it open; a datagram ends the wait.
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as waker:
                waker.sendto(b"", (self.address, self.port))
            self._ended.wait(5)

    def _answer(self, datagrams):
        self._ended = threading.Event()
        while True:
            question, peer = datagrams.recvfrom(65535)
            if self._datagrams is not datagrams:
                break
            try:
                answer = self._reply(question)
            except dns.exception.DNSException:
                # A probe, to which a server may be silent.
                continue
            self.questions += 1
            self.peers.add(peer)
            if answer:
                wire = answer.to_wire()
                datagrams.sendto(wire if len(wire) <= self.LIMIT else self._cut(answer).to_wire(), peer)
        datagrams.close()
        self._ended.set()

    def serve(self, connection, peer):
        """One question after the other, each with its length in front (RFC 1035 section 4.2.2)."""
        while length := connection.recv(2, socket.MSG_WAITALL):
            question = connection.recv(struct.unpack("!H", length)[0], socket.MSG_WAITALL)
            wire = self._reply(question).to_wire()
            connection.sendall(struct.pack("!H", len(wire)) + wire)

    def _reply(self, wire):
        question = dns.message.from_wire(wire)
        (asked,) = question.question
        if asked.name.labels[0] == b"silent":
            return None
        texts = [self.name] + ["x" * 200] * (20 if asked.name.labels[0] == b"long" else 0)
        reply = dns.message.make_response(question)
        reply.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "TXT", " ".join(f'"{text}"' for text in texts)))
        return reply

    @staticmethod
    def _cut(reply):
        reply.answer.clear()
        reply.flags |= dns.flags.TC
        return reply


def lookup(where, name="a.example.", *, tcp=False, source=None, port=0, sock=None, timeout=5):
    """One question; answers the first text of the reply, or None when the reply says that it was cut."""
    question = dns.message.make_query(name, "TXT")
    ask = dns.query.tcp if tcp else dns.query.udp
    reply = ask(question, where[0], port=where[1], timeout=timeout, source=source, source_port=port, sock=sock)
    assert reply.rcode() == dns.rcode.NOERROR
    if reply.flags & dns.flags.TC:
        return None
    return reply.answer[0][0].strings[0].decode()


def client(source="127.0.0.1"):
    """A socket on a port of its own: a client that goes on with its flow."""
    made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    made.bind((source, 0))
    made.setblocking(False)
    return made
