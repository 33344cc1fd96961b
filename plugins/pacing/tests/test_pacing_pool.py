"""What processes that ask one service share: places, starts, waits, the breaker. Times are made up, in seconds."""

from __future__ import annotations

import json
import random
from collections import Counter
from dataclasses import replace
from itertools import pairwise

import pytest

from themis_pacing import FORGOTTEN_S, Need, Pool

T = 1_000_000.0


def need(member: str, **said: object) -> Need:
    return replace(Need(member, most=8), **said)  # type: ignore[arg-type]


def keep(pool: Pool, since: float, until: float) -> None:
    """Have all members say now and then that they are there."""
    for second in range(int(since), int(until)):
        for member in list(pool.seats):
            pool.exchange(need(member), float(second))


def test_a_member_that_is_alone_has_everything() -> None:
    share = Pool().exchange(need("a", wanted=3), T)
    assert (share.places, share.members, share.shut_s, share.open_s, share.window) == (8, 1, 0.0, None, None)


def test_places_go_by_what_is_wanted_and_none_is_given_twice() -> None:
    pool = Pool()
    assert pool.exchange(need("a", wanted=8), T).places == 8
    # The second has no place before the first said that it gave some up.
    assert pool.exchange(need("b", wanted=2), T + 0.1).places == 0
    assert pool.exchange(need("a", wanted=8, held=8), T + 0.2).places == 6
    assert pool.exchange(need("b", wanted=2), T + 0.3).places == 0
    assert pool.exchange(need("a", wanted=8, held=6), T + 0.4).places == 6
    assert pool.exchange(need("b", wanted=2), T + 0.5).places == 2


def test_what_nobody_wants_is_spread() -> None:
    pool = Pool()
    pool.exchange(need("a", wanted=1, held=1), T)
    assert pool.exchange(need("a", wanted=1, held=1), T).places == 8
    pool.exchange(need("b", wanted=1), T)
    assert pool.exchange(need("a", wanted=1, held=4), T).places == 4
    assert pool.exchange(need("b", wanted=1), T).places == 4


def test_with_fewer_places_than_members_all_have_their_turn() -> None:
    pool, held, turns = Pool(), dict.fromkeys("abcde", 0), dict.fromkeys("abcde", 0)
    for step in range(200):
        member = "abcde"[step % 5]
        told = pool.exchange(replace(need(member, wanted=3, held=held[member]), most=2), T + 0.1 * step)
        held[member] = told.places
        turns[member] += told.places
        assert sum(held.values()) <= 2
    assert min(turns.values()) >= 5
    assert max(turns.values()) <= 2 * min(turns.values())


def test_the_smaller_of_two_limits_holds() -> None:
    pool = Pool()
    pool.exchange(need("a", requests_per_s=2.0), T)
    told = pool.exchange(replace(need("b", requests_per_s=5.0, tokens_per_s=70.0), most=3), T)
    assert (told.requests_per_s, told.tokens_per_s) == (2.0, 70.0)
    assert pool.exchange(need("a", requests_per_s=2.0, wanted=8, held=8), T).places == 3  # of 3 in all


def test_starts_are_handed_out_once_and_in_turn() -> None:
    pool, ends, had = Pool(), T, dict.fromkeys("abcd", 0.0)
    for step in range(400):
        now = T + step * 0.05
        member = "abcd"[step % 4]
        # `d` asks for a tenth of what the others do
        share = pool.exchange(need(member, asks_s=0.03 if member == "d" else 3.0, first_s=0.01), now)
        if share.window is not None:
            begin, length = now + share.window[0], share.window[1]
            assert begin >= ends - 1e-6
            ends = begin + length
            had[member] += length
    assert ends >= T + 19.5  # all of it is used
    assert had["d"] == pytest.approx(3.0)
    assert max(had[each] for each in "abc") <= 1.2 * min(had[each] for each in "abc")


def test_a_rate_of_one_call_in_ten_minutes_gives_nobody_two_and_leaves_nobody_out() -> None:
    pool, fed = Pool(), []
    for step in range(8_000):
        member = "abc"[step % 3]
        share = pool.exchange(need(member, asks_s=600.0, first_s=600.0), now := T + step * 0.5)
        if share.window is not None:
            fed.append((member, now + share.window[0]))
    assert sorted(Counter(member for member, _ in fed).values()) == [2, 2, 3]
    starts = [at for _, at in fed]
    assert len(fed) == 7  # 4,000 s
    assert all(later - before >= 600 - 1e-6 for before, later in pairwise(starts))


def test_a_member_that_takes_nothing_of_what_it_asks_for_starves_nobody() -> None:
    pool, had = Pool(), 0.0
    for step in range(200):
        pool.exchange(need("idle", asks_s=1.0, first_s=0.01), T + step * 0.1)
        share = pool.exchange(need("busy", asks_s=1.0, first_s=0.01), T + step * 0.1)
        had += share.window[1] if share.window else 0.0
    assert had >= 0.4 * 20


def test_all_wait_when_one_is_asked_to() -> None:
    pool = Pool()
    pool.exchange(need("a", shut_s=30.0), T)
    share = pool.exchange(need("b", asks_s=1.0, first_s=1.0), T + 10)
    assert (share.shut_s, share.window) == (20.0, None)
    assert pool.exchange(need("b", asks_s=1.0, first_s=1.0), T + 29.5).window == (0.5, 1.0)
    assert pool.exchange(need("new"), T + 500.0).shut_s == 0.0


def test_refusals_of_one_episode_cut_once_and_successes_of_all_add_up() -> None:
    pool = Pool()
    for member in "ab":
        pool.exchange(need(member, wanted=4, held=4), T)
    assert pool.exchange(need("a", wanted=4, held=4, cut=(0.1, 1.0)), T + 1).places == 3
    assert pool.limit == 6.4  # 8 in use, · 0.8
    pool.exchange(need("b", wanted=4, held=4, cut=(0.05, 0.5)), T + 1.1)  # began before the cut was known
    assert pool.limit == 6.4
    pool.exchange(need("b", wanted=4, held=3, grown=3), T + 1.2)
    assert pool.limit == 6.4 + 3 / 6.4
    pool.exchange(need("a", wanted=4, held=3, grown=9), T + 1.3)
    assert pool.limit is None  # as many as the policy allows


def test_a_member_that_died_is_forgotten_and_what_it_held_is_free() -> None:
    pool = Pool()
    pool.exchange(need("dead", wanted=8), T)
    assert pool.exchange(need("a", wanted=8), T + 1).places == 0
    assert pool.exchange(need("a", wanted=8), T + FORGOTTEN_S + 0.1).places == 8
    # it was only paused, and comes back with calls in flight
    back = pool.exchange(need("dead", wanted=8, held=8), T + 20)
    assert (back.places, back.members) == (4, 2)


def test_one_member_probes_and_the_others_wait_for_what_it_finds() -> None:
    pool = Pool()
    pool.exchange(need("a", opened_s=30.0), T)
    assert pool.exchange(need("b"), T + 1).open_s == 29.0
    pool.exchange(need("b", opened_s=30.0), T + 2)  # it found out as well, a little later
    keep(pool, T + 2, T + 30)
    asks = [pool.exchange(need(each, asks_probe=True), T + 30.5).probe for each in "abb"]
    assert asks == [True, False, False]
    failed = pool.exchange(need("a", opened_s=60.0), T + 31)
    assert (failed.open_s, failed.failed_probes) == (60.0, 1)
    keep(pool, T + 31, T + 90)
    assert pool.exchange(need("b", asks_probe=True), T + 91).probe  # whoever is first this time
    assert not pool.exchange(need("a", asks_probe=True), T + 91.5).probe
    # it dies, and its probe with it
    pool.exchange(need("a", asks_probe=True), T + 95)
    assert pool.exchange(need("a", asks_probe=True), T + 91.1 + FORGOTTEN_S).probe
    assert pool.exchange(need("a", closed=True), T + 102).open_s is None
    assert pool.failed_probes == 0


def test_what_was_found_out_of_order_is_tried_anew_when_nobody_is_left_who_saw_it() -> None:
    pool = Pool()
    pool.exchange(need("a", opened_s=3_600.0, shut_s=120.0), T)
    late = pool.exchange(need("b"), T + 60)
    assert (late.open_s, late.failed_probes, late.shut_s) == (None, 0, 60.0)


@pytest.mark.parametrize("jump", [-7_200.0, 7_200.0])
def test_a_clock_that_jumps_changes_no_duration(jump: float) -> None:
    pool = Pool()
    pool.exchange(need("a", wanted=8, shut_s=30.0, opened_s=40.0), T)
    pool.exchange(need("b", wanted=8), T)
    told = pool.exchange(need("a", wanted=8, held=8, heard_s=1.0), T + 1 + jump)
    assert told.members == 2
    # What is no longer known, back, is how much of the second has passed.
    assert (told.shut_s, told.open_s) == pytest.approx((29.0, 39.0), abs=1.01)


def test_a_member_that_slept_does_not_take_its_sleep_for_a_jump() -> None:
    pool = Pool()
    pool.exchange(need("slept"), T)
    for second in range(100):
        pool.exchange(need("a", heard_s=1.0, shut_s=10.0 if second == 95 else 0.0), T + second)
    assert pool.exchange(need("slept", heard_s=0.5), T + 100).shut_s == 5.0


def test_a_pool_is_kept_as_plain_data() -> None:
    pool, chance = Pool(), random.Random(1)
    for step in range(100):
        said = {"wanted": chance.randrange(9), "asks_s": chance.random(), "shut_s": chance.choice([0.0, 1.0])}
        pool = Pool.of(json.loads(json.dumps(pool.plain())))
        pool.exchange(need(f"m\x00{step % 7}", **said), T + step)
    assert Pool.of(pool.plain()) == pool
    for member in list(pool.seats):
        pool.leave(member)
    assert pool.seats == {}
