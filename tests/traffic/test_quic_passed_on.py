"""QUIC pools of UDP listeners: connections are placed by id, and stay where they are when their clients move."""

import asyncio
from collections import Counter

import pytest

from harness.quic import QuicMember, client

POOL = {"protocol": "QUIC", "lb_algorithm": "QUIC_CID", "session_persistence": {"type": "SOURCE_IP"}}
WHOLE_ID = {"quic_cid_hash_strategy": {"len": 7, "offset": 1}}


def quic(stage, servers, **pool):
    """A UDP listener before a QUIC pool."""
    return stage.front(servers, protocol="UDP", pool={**POOL, **pool})


def test_connections_are_shared_out_by_their_ids(member, stage):
    servers = [member(name, kind=QuicMember) for name in "abc"]
    front = quic(stage, servers)

    async def names():
        found = []
        for _ in range(30):
            async with client(front.where) as connection:
                found.append(await connection.ask("x" * 20_000))
        return found
    found = Counter(asyncio.run(names()))
    # All from one address: it is the id that decides.
    assert set(found) == set("abc") and max(found.values()) < 25, found
    assert sum(server.connections for server in servers) == 30


@pytest.mark.parametrize("pool", [{}, WHOLE_ID], ids=["the default part", "a longer part"])
def test_a_client_that_moves_keeps_its_connection(member, stage, pool):
    servers = [member(name, kind=QuicMember) for name in "abc"]
    front = quic(stage, servers, **pool)

    async def moving():
        for _ in range(8):
            async with client(front.where) as connection:
                home = await connection.ask()
                for _ in range(3):
                    await connection.move()
                    assert await connection.ask("still there") == home
    asyncio.run(moving())
    assert sum(server.connections for server in servers) == 8, "no second handshake"


def test_a_client_that_changes_its_id_and_moves_keeps_its_connection(member, stage):
    servers = [member(name, kind=QuicMember) for name in "abc"]
    front = quic(stage, servers, **WHOLE_ID)

    async def changing():
        for _ in range(6):
            async with client(front.where) as connection:
                home = await connection.ask()
                await connection.change_id()
                await connection.move()
                assert await connection.ask() == home
    asyncio.run(changing())
    assert sum(server.connections for server in servers) == 6


def test_servers_come_and_go_and_moving_clients_stay(member, stage):
    servers = [member(name, kind=QuicMember) for name in "ab"]
    front = quic(stage, servers, **WHOLE_ID)
    comer = member("comer", kind=QuicMember)

    async def staying():
        connections = [client(front.where) for _ in range(6)]
        entered = [await connection.__aenter__() for connection in connections]
        homes = [await connection.ask() for connection in entered]
        for step in (lambda: front.add(comer), lambda: front.weigh(servers[0], 0), lambda: front.remove(comer)):
            await asyncio.to_thread(step)
            for connection, home in zip(entered, homes):
                await connection.move()
                assert await connection.ask() == home
        for connection in connections:
            await connection.__aexit__(None, None, None)
    asyncio.run(staying())
