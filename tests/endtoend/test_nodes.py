"""Several gateways on one database server: balances are never off, and what one changes the others see."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import pytest_asyncio

from support.caller import Call, Caller
from support.databases import MariaDB, PostgreSQL, Server
from support.gateway_process import GatewayProcess, run_command
from support.gateway_settings import DEV, Payer, reserved, settings
from support.scripted_upstream import Gate, ScriptedServer, answer, gated
from support.waiting import eventually

SERVERS = {"postgresql": PostgreSQL, "mariadb": MariaDB}

CALLERS = 100
"""At each gateway."""

MAX_TOKENS = 20
COVERED = 37
MODEL = "mm"
AMOUNT = reserved(Caller(0, "", model=MODEL, max_tokens=MAX_TOKENS).request("call-000"), MAX_TOKENS)
POOR = Payer("poor", user_quota=COVERED * AMOUNT + AMOUNT // 2)
SEEN_WITHIN = 2.0
"""Seconds until a change is seen everywhere."""

pytestmark = pytest.mark.asyncio(loop_scope="module")


@dataclass(frozen=True)
class Nodes:
    """Two gateways, as on two machines, and the upstream they share."""

    first: GatewayProcess
    second: GatewayProcess
    upstream: ScriptedServer


@pytest.fixture(scope="module", params=SERVERS)
def server(request: pytest.FixtureRequest) -> Iterator[Server]:
    """A database server."""
    server = SERVERS[request.param]()
    server.start()
    yield server
    server.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def nodes(server: Server, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Nodes]:
    """Two gateways with the same file."""
    with ScriptedServer({}) as upstream, ExitStack() as stack:
        text = settings(upstream.port, [MODEL], payers=(DEV, POOR))
        gateways = []
        for migrate in (["--migrate"], []):
            program = ("-m", "asgi_gateway", "serve", *migrate)
            folder = tmp_path_factory.mktemp("node")
            gateway = stack.enter_context(GatewayProcess(folder, text, storage=server.url, program=program))
            gateways.append(await gateway.ready())
        yield Nodes(*gateways, upstream)
        assert [await gateway.terminate() for gateway in gateways] == [0, 0]


async def test_two_nodes_never_spend_more_than_a_balance_holds(nodes: Nodes) -> None:
    """As many calls reach the upstream as the balance covers, whichever node took them, and each is charged once."""
    gate, upstream = Gate(), nodes.upstream
    before = len(upstream.visits)
    upstream.scripts[MODEL] = gated(gate, answer(tokens=(10, 5)))
    calls = [
        asyncio.create_task(
            Caller(gateway.port, POOR.key, model=MODEL, max_tokens=MAX_TOKENS).call(f"call-{number:03}")
        )
        for gateway in (nodes.first, nodes.second)
        for number in range(CALLERS)
    ]
    refusals = 2 * CALLERS - COVERED
    await eventually(lambda: sum(call.done() for call in calls) >= refusals, 30, "refusal of all others")
    await eventually(lambda: len(upstream.visits) - before >= COVERED, 10, "arrival of the others")
    gate.open()
    answers = await asyncio.gather(*calls)
    assert sorted(call.status for call in answers) == [200] * COVERED + [429] * refusals
    assert len(upstream.visits) - before == COVERED
    books = nodes.first.books
    await eventually(lambda: books.open_reservations == 0, 10, "settlement of everything")
    user, _ = books.accounts(POOR.name)
    charged = [charge["charged"] for charge in books.charges() if charge["token_name"] == POOR.name]
    assert (user["spent"], user["reserved"], charged) == (COVERED * 25, 0, [25] * COVERED)


async def test_a_token_that_is_disabled_at_one_node_is_refused_at_the_other(nodes: Nodes) -> None:
    """Within two seconds, without anything but the database between them; and taken again once it is enabled."""
    nodes.upstream.scripts[MODEL] = answer(tokens=(10, 5))
    run_command(nodes.first.config, "token", "add", "loose", "--user", DEV.name, "--unlimited", "--key", "sk-loose-1")
    caller = Caller(nodes.second.port, "sk-loose-1", model=MODEL, max_tokens=1)

    await becomes(caller.call, 200)
    run_command(nodes.first.config, "token", "disable", "loose")
    await becomes(caller.call, 401)
    run_command(nodes.first.config, "token", "enable", "loose")
    await becomes(caller.call, 200)


async def test_a_channel_that_is_added_at_run_time_serves_at_every_node(nodes: Nodes) -> None:
    """And one that is removed serves nobody any more."""
    nodes.upstream.scripts["other"] = answer(tokens=(10, 5))
    options = ["--provider", "openai", "--base-url", f"http://127.0.0.1:{nodes.upstream.port}", "--key", "sk-up"]
    run_command(nodes.first.config, "price", "set", "other", "--input", "2", "--output", "6")
    run_command(nodes.first.config, "channel", "add", "late", *options, "--model", "other")

    first, second = (
        Caller(gateway.port, DEV.key, model="other", max_tokens=1) for gateway in (nodes.first, nodes.second)
    )
    await becomes(second.call, 200)
    await becomes(first.call, 200)
    run_command(nodes.first.config, "channel", "delete", "late")
    await becomes(second.call, 404)


async def becomes(call: Callable[[], Awaitable[Call]], status: int) -> None:
    """Call until the status is this one, for as long as a change may take to be seen."""
    async with asyncio.timeout(SEEN_WITHIN):
        while (await call()).status != status:  # noqa: ASYNC110 - the other process tells nobody when it has looked
            await asyncio.sleep(0.05)
