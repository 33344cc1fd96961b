"""One limit of cost that several processes spend: together they never hold more than it."""

from __future__ import annotations

import json
import math
import random

import pytest

from themis_costs import Purse, PurseNeed, PursePart

T = 1_000_000.0


def need(member: str, spent: float = 0.0, held: float = 0.0, wants: float = 0.0, **more: float) -> PurseNeed:
    return PurseNeed(member, 10.0, more.get("before", 0.0), spent, held, wants, heard_s=1.0)


def test_parts_are_taken_given_back_and_spent() -> None:
    purse = Purse()
    first = purse.exchange(need("a", wants=1.0, before=2.0), T)
    assert (first.rest, first.held, first.left) == (2.0, 2.0, 8.0)  # a quarter of what there is
    # It spent 1, and keeps nothing.
    assert purse.exchange(need("a", spent=1.0, held=1.0), T + 1).left == 7.0
    assert purse.exchange(need("b", wants=7.0), T + 1).rest == 7.0
    assert purse.exchange(need("a", spent=1.0, held=1.0, wants=0.5), T + 1).rest == 0.0
    purse.leave(need("b", spent=3.0))
    assert purse.exchange(need("a", spent=1.0, held=1.0, wants=4.0), T + 2).rest == 4.0
    assert purse.exchange(need("a", spent=1.0, held=5.0), T + 2).left == 4.0  # 10 - 2 - 3 - 1


def test_what_is_wanted_whole_is_not_given_in_part_and_all_that_is_left_is() -> None:
    purse = Purse()
    purse.exchange(need("a", held=6.0), T)
    assert purse.exchange(need("b", wants=4.5), T).rest == 0.0
    assert purse.exchange(need("b", wants=math.inf), T).rest == 4.0
    assert purse.exchange(need("c", wants=math.inf), T).rest == 0.0


def test_the_last_digit_of_a_sum_keeps_nobody_waiting_for_what_is_left() -> None:
    purse = Purse()
    room = 10.0 - 9.986  # 0.0139999…
    assert room < 0.014
    assert purse.exchange(need("a", before=9.986, wants=0.014), T).rest == room


def test_what_a_dead_process_held_counts_as_spent_until_all_is_counted_anew() -> None:
    purse = Purse()
    purse.exchange(need("dead", spent=1.0, held=4.0), T)
    purse.exchange(need("a"), T)
    assert purse.exchange(need("a"), T + 9).left == 9.0  # it may still be alive
    assert purse.exchange(need("a"), T + 10.5).left == 6.0
    assert purse.exchange(need("a", wants=7.0), T + 11).rest == 0.0
    alone = PurseNeed("new", 10.0, 1.5, 0.0, 0.0, 8.5, looked=(0.5, frozenset()))  # as the store has it
    assert purse.exchange(alone, T + 12).rest == 8.5


def test_what_is_held_by_nobody_who_is_alive_is_told_apart_from_what_was_spent() -> None:
    purse = Purse()
    purse.exchange(need("here 1 x", spent=1.0, held=4.0), T)
    assert purse.exchange(need("here 2 x"), T + 9).lost == 0.0
    assert purse.exchange(need("here 2 x"), T + 11).lost == 3.0
    late = PurseNeed("here 3 x", 10.0, 1.0, 0.0, 0.0, looked=(0.1, frozenset({"here 2"})))
    share = purse.exchange(late, T + 12)
    assert (share.left, share.lost) == (6.0, 3.0)
    purse = Purse.of(json.loads(json.dumps(purse.plain())))
    purse.leave(need("here 2 x"))
    purse.leave(need("here 3 x"))
    assert purse.exchange(need("late", before=1.0), T + 13).lost == 3.0
    purse.leave(need("late"))
    alone = purse.exchange(PurseNeed("new", 10.0, 1.0, 0.0, 0.0, looked=(0.1, frozenset())), T + 14)
    assert (alone.left, alone.lost) == (9.0, 0.0)


def exchange(purse: Purse, part: PursePart, now: float) -> PurseNeed:
    """With nothing spent and nothing reserved."""
    asked = part.need(0.0, 0.0, now)
    part.hear(purse.exchange(asked, now), asked, now)
    return asked


@pytest.mark.parametrize("most", [6.0, None])
def test_what_a_call_waits_for_stays_until_it_looks_however_often_is_exchanged(most: float | None) -> None:
    purse, part = Purse(), PursePart("me", 10.0, 0.0, 0.0, lambda: None)
    purse.exchange(need("other", held=2.0), T)
    assert part.take(most, 0.0, 0.0, T) is None
    for step in range(9):
        exchange(purse, part, T + step / 10)
    assert part.take(most, 0.0, 0.0, T + 0.9) == (most or 8.0)
    assert exchange(purse, part, T + 1.5).held == 0.0  # that call was cut off: the others may have it


def test_of_what_a_larger_call_waits_for_as_much_is_asked_as_makes_it_whole() -> None:
    purse, part = Purse(), PursePart("me", 10.0, 0.0, 0.0, lambda: None)
    purse.exchange(need("other", held=2.0), T)
    part.take(3.0, 0.0, 0.0, T)
    exchange(purse, part, T)
    assert part.take(5.0, 0.0, 0.0, T) is None
    asked = exchange(purse, part, T + 0.1)
    assert (asked.held, asked.wants) == (3.0, 2.0)
    assert part.take(5.0, 0.0, 0.0, T + 0.2) == 5.0


def test_of_two_who_want_more_than_is_left_for_both_each_gets_its_turn() -> None:
    purse = Purse()
    parts = [PursePart(name, 10.0, 0.0, 0.0, lambda: None) for name in ("a", "b")]
    answered = {id(part): 0 for part in parts}
    for step in range(100):
        now = T + step / 10
        for part in parts:
            answered[id(part)] += part.take(6.0, 0.0, 0.0, now) is not None
            exchange(purse, part, now)  # the call is over at once, and cost nothing
    assert min(answered.values()) >= 5


def test_several_who_begin_together_after_a_kill_count_anew() -> None:
    purse = Purse()
    purse.exchange(need("here 1 x", wants=math.inf), T)  # killed at its first call, of which nothing was known
    living = frozenset({"here 2", "here 3"})
    for member in ("here 2 x", "here 3 x"):
        share = purse.exchange(PurseNeed(member, 10.0, 1.0, 0.0, 0.0, 3.0, looked=(0.1, living)), T + 2)
        assert share.rest >= 3.0
    assert sorted(purse.seats) == ["here 2 x", "here 3 x"]


def test_the_smaller_limit_of_two_holds() -> None:
    purse = Purse()
    purse.exchange(need("a"), T)
    assert purse.exchange(PurseNeed("b", 4.0, 0.0, 0.0, 0.0), T).limit == 4.0
    assert purse.exchange(need("a", wants=5.0), T).rest == 0.0


@pytest.mark.parametrize("jump", [-7_200.0, 7_200.0])
def test_nobody_dies_of_a_clock_that_jumps(jump: float) -> None:
    purse = Purse()
    for member in "ab":
        purse.exchange(need(member, held=3.0), T)
    assert purse.exchange(need("a", held=3.0), T + 1 + jump).left == 10.0


def test_processes_that_die_and_come_back_never_overspend() -> None:
    """Sixty stories of four processes with random calls, deaths and lost replies."""
    for seed in range(60):
        chance = random.Random(seed)
        purse, clock, spent = Purse(), T, 0.0
        parts: dict[str, PursePart] = {}
        costs: dict[str, float] = {}
        reserved: dict[str, list[float]] = {}
        for step in range(200):
            clock += chance.random()
            if len(parts) < 4 and chance.random() < 0.2:
                name = f"here {step} x"
                parts[name] = PursePart(name, 10.0, spent, 0.0, lambda: None)
                parts[name].looked = clock, frozenset(each.rpartition(" ")[0] for each in parts)
                costs[name], reserved[name] = 0.0, []
            if not parts:
                continue
            name = chance.choice(sorted(parts))
            part, under_way = parts[name], reserved[name]
            match chance.randrange(5):
                case 0 | 1:
                    most = chance.choice([0.2, 0.5, 1.0, None])
                    got = part.take(most, costs[name], sum(under_way), clock)
                    if got is not None:
                        under_way.append(got)
                case 2 if under_way:
                    cost = under_way.pop() * chance.random()
                    costs[name] += cost
                    spent += cost
                case 3:
                    asked = part.need(costs[name], sum(under_way), clock)
                    purse = Purse.of(json.loads(json.dumps(purse.plain())))
                    share = purse.exchange(asked, clock)
                    if chance.random() < 0.9:  # else the reply is lost
                        part.hear(share, asked, clock)
                case 4 if chance.random() < 0.1:
                    del parts[name]  # what was under way is in no account
            on_their_way = sum(sum(each) for name, each in reserved.items() if name in parts)
            assert spent + on_their_way <= 10.0 + 1e-6, seed
