"""GuardedStore: a store that may be slow or gone, without the requests noticing.

The first failure opens the breaker. From then on nobody waits for the store: each worker grants a tenth of the limits
by itself, of money a tenth of what it last knew to be left. Once the store answers again, it is told all that was spent
meanwhile, and what ended of that which it had granted; then it decides again.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from secrets import token_hex

from gateway.store.leased import SHARE, Accounts
from gateway.store.protocol import NOTHING, Account, Amount, Decision, Hold, Limits, Store, StoreUnavailable

PAUSE = 1.0
"""How many seconds are between two looks whether a store that was gone is back."""
LEASE = 3600.0
"""How long the reservation lasts by which a store is told of what was spent without it: longer than it takes to ask
again where nobody knows whether it was heard."""


class GuardedStore:
    """A store, and one of the worker's own (``alone``) for as long as that cannot be reached.

    Args:
        tell: is told when the store is lost (with the reason) and when it is back (with an empty text).
    """

    def __init__(
        self,
        store: Store,
        alone: Store,
        tell: Callable[[str], None] = lambda _: None,
        share: int = SHARE,
        pause: float = PAUSE,
    ) -> None:
        self._store = store
        self._alone = alone
        self._tell = tell
        self._share = share
        self._pause = pause
        self._used: dict[str, int] = {}
        """What accounts had spent when the store was last heard."""
        self._granted_alone: dict[str, Hold] = {}
        self._late: dict[str, tuple[Hold, Amount, bool]] = {}
        """What the store is still to be told of its own reservations."""
        self._owed: defaultdict[Accounts, Amount] = defaultdict(Amount)
        """What was spent without it."""
        self._bills: dict[str, tuple[Hold, Amount]] = {}
        """The same, as far as it is being told."""
        self._returning: asyncio.Task[None] | None = None
        self._telling = asyncio.Lock()
        """One at a time tells the store: a bill that is asked for after somebody else has settled it would count
        twice."""

    @property
    def reachable(self) -> bool:
        """Whether the store decides, and not this worker alone."""
        return self._returning is None

    async def start(self) -> None:
        """Makes both ready; the store need not be there yet."""
        await self._alone.start()
        try:
            await self._store.start()
        except StoreUnavailable as error:
            self._lose(error)

    async def close(self) -> None:
        """Closes both. What the store cannot be told now either is lost."""
        if self._returning is not None:
            self._returning.cancel()
            await asyncio.wait((self._returning,))
            with suppress(StoreUnavailable):
                await self._catch_up()
        await self._store.close()
        await self._alone.close()

    async def reserve(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        """See :meth:`Store.reserve`. It does not fail while the worker itself can decide."""
        if self.reachable:
            try:
                decision = await self._store.reserve(hold, asked, seconds)
            except StoreUnavailable as error:
                self._lose(error)
                self._late[hold.id] = (hold, NOTHING, True)
            else:
                for account, standing in zip(hold.accounts, decision.standings, strict=True):
                    self._used[account.name] = standing.used.nanos
                return decision
        return await self._reserve_alone(hold, asked, seconds)

    async def adjust(self, hold: Hold, amount: Amount, *, final: bool) -> bool:
        """See :meth:`Store.adjust`. What the store cannot be told now it is told when it is back."""
        own = self._granted_alone.get(hold.id)
        if own is not None:
            return await self._adjust_alone(own, hold, amount, final=final)
        if self.reachable:
            try:
                return await self._store.adjust(hold, amount, final=final)
            except StoreUnavailable as error:
                self._lose(error)
        self._late[hold.id] = (hold, amount, final)
        return True

    async def renew(self, holds: Sequence[Hold], seconds: float) -> None:
        """See :meth:`Store.renew`."""
        await self._alone.renew([hold for hold in holds if hold.id in self._granted_alone], seconds)
        if self.reachable:
            try:
                await self._store.renew([hold for hold in holds if hold.id not in self._granted_alone], seconds)
            except StoreUnavailable as error:
                self._lose(error)

    async def _reserve_alone(self, hold: Hold, asked: Amount, seconds: float) -> Decision:
        own = Hold(hold.id, tuple(map(self._reduced, hold.accounts)))
        self._granted_alone[hold.id] = own  # whoever is cancelled here gives it back
        decision = await self._alone.reserve(own, asked, seconds)
        if not decision.granted:
            del self._granted_alone[hold.id]
        standings = (
            replace(standing, used=standing.used + _withheld(whole.limits, reduced.limits))
            for standing, whole, reduced in zip(decision.standings, hold.accounts, own.accounts, strict=True)
        )
        return replace(decision, standings=tuple(standings))

    async def _adjust_alone(self, own: Hold, hold: Hold, amount: Amount, *, final: bool) -> bool:
        done = await self._alone.adjust(own, amount, final=final)
        if final:
            del self._granted_alone[hold.id]
            self._owed[hold.accounts] += replace(amount, slots=0)
            if self.reachable:
                await self._settle_up()
        return done

    def _reduced(self, account: Account) -> Account:
        limits, spent = account.limits, self._used.get(account.name, 0)
        money = None if limits.nanos is None else max(0, limits.nanos - spent)
        parts = (limits.requests, limits.tokens, money, limits.slots)
        return replace(account, limits=Limits(*(None if part is None else -(-part // self._share) for part in parts)))

    def _lose(self, error: StoreUnavailable) -> None:
        if self.reachable:
            self._tell(str(error))
            self._returning = asyncio.create_task(self._return())

    async def _return(self) -> None:
        """Waits until the store answers and has been told everything."""
        while True:
            await asyncio.sleep(self._pause)
            try:
                await self._catch_up()
            except StoreUnavailable:
                continue
            self._returning = None
            self._tell("")
            return

    async def _catch_up(self) -> None:
        """Tells the store everything that it does not know yet."""
        async with self._telling:
            await self._store.start()
            await self._tell_all()

    async def _settle_up(self) -> None:
        async with self._telling:
            if not self.reachable:
                return
            try:
                await self._tell_all()
            except StoreUnavailable as error:
                self._lose(error)

    async def _tell_all(self) -> None:
        """Until nothing is left; some may come up meanwhile."""
        while self._late or self._owed or self._bills:
            await self._settle_late()
            await self._charge()

    async def _settle_late(self) -> None:
        while self._late:
            name, (hold, amount, final) = next(iter(self._late.items()))
            await self._store.adjust(hold, amount, final=final)
            if self._late.get(name) == (hold, amount, final):
                del self._late[name]

    async def _charge(self) -> None:
        """Tells the store what was spent without it; no limit keeps it from being counted."""
        while self._owed:
            accounts, amount = self._owed.popitem()
            hold = Hold(f"owed_{token_hex(12)}", tuple(replace(account, limits=Limits()) for account in accounts))
            self._bills[hold.id] = (hold, amount)
        for name, (hold, amount) in list(self._bills.items()):
            await self._store.reserve(hold, amount, LEASE)
            self._late[name] = (hold, amount, True)
            del self._bills[name]


def _withheld(whole: Limits, reduced: Limits) -> Amount:
    """What of the limits a worker alone does not grant."""
    return Amount(
        **{
            name: limit - getattr(reduced, name)
            for name in Limits.__slots__
            if (limit := getattr(whole, name)) is not None
        }
    )
