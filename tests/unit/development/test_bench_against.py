"""Ratios of two commits: how many times better this tree is, by pairs of runs."""

from tests.bench.against import ratios

FASTER = {"compose": {"p50_ms": 10.0, "rate_per_s": 200.0, "times": 9}, "new": {"p50_ms": 1.0}}
SLOWER = {"compose": {"p50_ms": 20.0, "rate_per_s": 100.0, "times": 9}, "old": {"p50_ms": 1.0}}


def test_less_time_and_a_higher_rate_are_better() -> None:
    found = {(one.key, one.number): one for one in ratios([(FASTER, SLOWER), (FASTER, FASTER), (FASTER, SLOWER)])}
    assert found.keys() == {("compose", "p50_ms"), ("compose", "rate_per_s")}
    assert all((one.median, one.of_pairs) == (2.0, [1.0, 2.0, 2.0]) for one in found.values())
    assert str(found["compose", "p50_ms"]) == "  2.00 × (1.00–2.00)  compose p50_ms"


def test_worse_in_each_pair_is_no_chance() -> None:
    assert [one.is_worse for one in ratios([(SLOWER, FASTER), (SLOWER, FASTER)])] == [True, True]
    assert [one.is_worse for one in ratios([(SLOWER, FASTER), (FASTER, FASTER)])] == [False, False]
