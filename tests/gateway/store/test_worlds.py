"""Two workers, keys of a team, and whatever goes wrong with them: a state machine over real stores."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from pathlib import Path
from random import Random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.store.protocol import SLICE, Account, Limits
from gateway.usage.row import UsageRow
from tests.gateway.store.servers import RedisServer
from tests.gateway.store.worlds import (
    ANSWER,
    LEASE,
    PER_TOKEN,
    PROMPT,
    FileWorld,
    RedisWorld,
    Run,
    Worker,
    World,
    fail,
    leave,
    rows_of,
    seen,
    used,
)

EXAMPLES, STEPS = 10, 20
BUDGET = 1_200_000
KEY = Limits(requests=30, tokens=900, nanos=BUDGET, slots=10)
TEAM = Account("team:all", Limits(requests=50, tokens=1500, nanos=2_000_000, slots=15), "total")
ACCOUNTS: dict[str, tuple[Account, ...]] = {
    name: (Account(f"key:{name}", KEY, "total"), TEAM) for name in ("app", "web")
}
ALL = {account.name: account for accounts in ACCOUNTS.values() for account in accounts}
BOUND = 8 + 2 + ANSWER
"""What a request reserves in tokens: its message, the five letters in it, its answer."""
SURE = LEASE - 10
"""For how long a place is surely kept after a renewal, however slow the machine is."""
ALONE = 10
"""Of a limit so much is granted without the store, or taken in advance: a tenth."""

keys = st.sampled_from(sorted(ACCOUNTS))
workers = st.integers(0, 1)
seeds = st.integers(0, 2**16)


class Workers(RuleBasedStateMachine):
    """What may happen to them, in any order; what must hold all the time, and in the end."""

    def __init__(self, make: Callable[[], World], *, exact: bool) -> None:
        super().__init__()
        self._make = make
        self._exact = exact
        self._names = (f"r{number:04}" for number in count())
        self.world: World | None = None
        self.gone = False
        self.here: list[Worker] = []
        self.dead: list[Worker] = []
        self.runs: list[Run] = []
        """All that were let in."""
        self.asked: dict[Worker, set[str]] = {}
        """The names of all requests of a worker, those that were not let in too."""
        self.kept: set[str] = set()
        """Of which the ledger has said that it has them."""

    @initialize()
    def begin(self) -> None:
        """Two workers over an empty store."""
        self.world = self._make()
        self.here = [self._worker(), self._worker()]

    def _worker(self) -> Worker:
        assert self.world is not None
        worker = Worker(self.world, ACCOUNTS, self._exact)
        self.asked[worker] = set()
        return worker

    def _named(self, worker: Worker, number: int) -> list[str]:
        names = [next(self._names) for _ in range(number)]
        self.asked[worker].update(names)
        return names

    def _open(self, worker: Worker | None = None) -> list[Run]:
        """What is under way, of those that live."""
        runs = [run for run in self.runs if run.tokens is None and run.worker in self.here]
        return [run for run in runs if worker in (None, run.worker)]

    @rule(worker=workers, key=keys, number=st.integers(1, 12))
    def ask(self, worker: int, key: str, number: int) -> None:
        """Requests at once, as many as are let in."""
        self.runs += self.here[worker].ask(self._named(self.here[worker], number), key)

    @rule(worker=workers, key=keys, number=st.integers(1, 3), steps=st.integers(1, 12))
    def leave_at_once(self, worker: int, key: str, number: int, steps: int) -> None:
        """Clients that are gone before they hear anything, wherever their requests are by then."""
        self.here[worker].leave(self._named(self.here[worker], number), key, steps)

    @rule(seed=seeds, tokens=st.integers(0, ANSWER), number=st.integers(1, 6))
    def answer(self, seed: int, tokens: int, number: int) -> None:
        """The upstream answers some."""
        for run in self._some(seed, number):
            run.worker.end(run, lambda call: call.set_result(tokens))
            run.tokens = PROMPT + tokens

    @rule(seed=seeds, leaves=st.booleans())
    def break_off(self, seed: int, leaves: bool) -> None:
        """The upstream fails, which costs nothing, or the client leaves, when the prompt has been read."""
        for run in self._some(seed, 1):
            run.worker.end(run, leave(run) if leaves else fail)
            run.tokens = PROMPT if leaves else 0

    def _some(self, seed: int, number: int) -> list[Run]:
        """Some of what is under way, where anything is. How much that is depends on the clock, so what is drawn must
        not depend on it: else the same draws would mean something else the next time."""
        under_way = self._open()
        return Random(seed).sample(under_way, min(number, len(under_way)))

    @rule(seconds=st.sampled_from([1, 4, 20, 61]))
    def wait(self, seconds: int) -> None:
        """Time passes, and who lives keeps its leases."""
        assert self.world is not None
        while seconds > 0:
            step = min(seconds, 10)
            self.world.clock.move(step)
            seconds -= step
            for worker in self.here:
                worker.renew()
                for run in self._open(worker) if worker.guarded.reachable else ():
                    if self.world.clock.now() - run.leased < SURE:
                        run.leased = self.world.clock.now()

    @rule()
    def stand_still(self) -> None:
        """Nobody moves for longer than a lease."""
        assert self.world is not None
        self.world.clock.move(LEASE + SLICE + 1)

    @rule(worker=workers)
    def kill(self, worker: int) -> None:
        """A worker is killed where it stands, and another one takes its place."""
        assert self.world is not None
        if not self.gone:
            self.kept |= {row.run for row in seen(self.world, rows_of)}
        self.dead.append(self.here[worker])
        self.here[worker] = self._worker()

    @precondition(lambda self: not self.gone)
    @rule()
    def lose(self) -> None:
        """The store is gone."""
        assert self.world is not None
        self.gone = True
        self.world.lose()

    @precondition(lambda self: self.gone)
    @rule()
    def find(self) -> None:
        """It is back, and is told everything."""
        assert self.world is not None
        self.gone = False
        self.world.find()
        for worker in self.here:
            worker.return_to_store()

    @invariant()
    def nothing_is_exceeded(self) -> None:
        """No limit and no budget; of workers that lost the store each has granted a tenth more at most."""
        for account in ALL.values():
            runs = [run for run in self.runs if account in ACCOUNTS[run.key]]
            alone = sum(worker.lost > 0 for worker in (*self.here, *self.dead))
            money = sum(BOUND if run.tokens is None else run.tokens for run in runs) * PER_TOKEN
            self._holds(account, "nanos", money, alone)
            self._holds(account, "slots", sum(map(self._has_place, runs)), alone)
            for begun in (run.at for run in runs):
                minute = [run for run in runs if begun <= run.at < begun + 60]
                tokens = sum(BOUND if run.tokens is None else run.tokens for run in minute)
                self._holds(account, "requests", len(minute), alone)
                self._holds(account, "tokens", tokens, alone)

    def _holds(self, account: Account, kind: str, taken: int, alone: int) -> None:
        limit = getattr(account.limits, kind)
        assert taken <= limit + alone * math.ceil(limit / ALONE), (account.name, kind)

    def _has_place(self, run: Run) -> bool:
        assert self.world is not None
        return run in self._open() and self.world.clock.now() - run.leased < SURE

    def teardown(self) -> None:
        """All that live end what is under way and stop; then the store and the ledger say what has happened."""
        if self.world is None:
            return
        try:
            if self.gone:
                self.find()
            for run in self._open():
                run.worker.end(run, lambda call: call.set_result(1))
                run.tokens = PROMPT + 1
            for worker in self.here:
                worker.stop()
            self._look()
        finally:
            for worker in self.dead:
                worker.bury()
            self.world.close()
            self.here, self.dead, self.runs, self.asked = [], [], [], {}
            gc.collect()  # Python 3.11 cannot parse while what was left of the killed is taken away

    def _look(self) -> None:
        assert self.world is not None
        self.world.clock.move(LEASE + SLICE + 1)
        taken = seen(self.world, lambda way: used(way, ACCOUNTS.values()))
        rows = seen(self.world, rows_of)
        assert {name for name, each in taken.items() if each.slots} == set(), "a lease is over"
        self._check_ledger(rows)
        for name, account in ALL.items():
            self._check_money(account, taken[name].nanos, rows)

    def _check_ledger(self, rows: Sequence[UsageRow]) -> None:
        """A row for each request of those that live, once; what was answered as the upstream has counted it."""
        written = [row.run for row in rows]
        assert len(written) == len(set(written))
        assert {*written} >= self.kept.union(*(self.asked[worker] for worker in self.here))
        told = {row.run: row.total_tokens for row in rows if row.outcome == "answered"}
        assert told.items() <= {pair for worker in self.asked for pair in worker.upstream.counted.items()}
        assert told.keys() >= {name for worker in self.here for name in worker.upstream.counted}
        assert [row for worker in self.here for row in worker.given_up] == []

    def _check_money(self, account: Account, used: int, rows: Sequence[UsageRow]) -> None:
        """What was spent is what the ledger says. Of those that were killed it is what they had reserved at most."""
        live = set[str]().union(*(self.asked[worker] for worker in self.here))
        spent = sum(row.nanos or 0 for row in rows if row.run in live and account in ACCOUNTS[row.key])
        if not self.dead:
            assert used == spent
            return
        dead = [run for run in self.runs if run.worker in self.dead and account in ACCOUNTS[run.key]]
        if not any(worker.lost for worker in self.dead):
            spent_by_dead = sum(BOUND if run.tokens is None else run.tokens for run in dead) * PER_TOKEN
            assert used >= spent + spent_by_dead
        ahead = 0 if self._exact else len(ACCOUNTS) * 2 * (BUDGET // ALONE + BOUND * PER_TOKEN)
        most = sum(len(self.asked[worker]) * BOUND * PER_TOKEN + ahead for worker in self.dead)
        assert used <= spent + most


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """A Redis for all of them."""
    with RedisServer(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "leased"])
@pytest.mark.parametrize("kind", ["file", "redis stopped", "redis killed"])
def test_workers(kind: str, exact: bool, server: RedisServer, tmp_path: Path) -> None:
    """Whatever happens, nothing is exceeded, and in the end everything is accounted for, once."""
    files = (tmp_path / f"{number}.db" for number in count())

    def make() -> World:
        return FileWorld(next(files)) if kind == "file" else RedisWorld(server, kills=kind.endswith("killed"))

    class Machine(Workers):
        """One over stores of this kind."""

        def __init__(self) -> None:
            super().__init__(make, exact=exact)

    run_state_machine_as_test(Machine, settings=settings(max_examples=EXAMPLES, stateful_step_count=STEPS))
