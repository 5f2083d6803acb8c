"""Hours, disk and money of many images, in numbers that can be checked by hand."""

import doctest

import pytest

from benchmarks import arithmetic
from benchmarks.arithmetic import Machine, Size, estimate, table

SMALL = Size(256, rate=10, kept=5000)


def test_hours_disk_and_cost():
    # 10 a second and core, 4 cores, 5 machines: 200 a second, 720,000 an hour; 5 machines for 5 hours at 0.5
    found = estimate(3_600_000, SMALL, Machine("m", 4, 0.5), machines=5)
    assert (found.hours, found.terabytes, found.cost) == pytest.approx((5, 0.018, 12.5))


def test_more_machines_save_time_and_no_money():
    one, ten = (estimate(160_000, SMALL, Machine("m", 8, 0.4), machines) for machines in (1, 10))
    assert ten.hours == pytest.approx(one.hours / 10) and ten.cost == pytest.approx(one.cost) and ten.terabytes == one.terabytes


def test_without_a_price_there_is_no_cost():
    assert estimate(10, SMALL, Machine("m", 8)).cost is None
    assert table([10], [SMALL], [Machine("m", 8)], [1]).endswith("|  |")


@pytest.mark.parametrize(("rate", "cores", "machines"), [(0, 4, 1), (10, 0, 1), (10, 4, 0), (-1, -4, 1), (10, -4, -1), (float("nan"), 1, 1)])
def test_nonsense_is_refused(rate, cores, machines):
    with pytest.raises(ValueError, match="above 0"):
        estimate(1, Size(256, rate, 1), Machine("m", cores), machines)


def test_the_table_has_a_row_for_everything_and_says_that_it_is_calculated(capsys):
    arithmetic.main(["--size", "256:10:5000", "--size", "1024:1:50000", "--machine", "small:4:0.5", "--images", "3600000", "--machines", "1", "5"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:6] == [
        "| 3,600,000 | 256 | 1 × small (4 vCPUs) | 25.00 | 18.0 GB | 12.50 |",
        "| 3,600,000 | 256 | 5 × small (4 vCPUs) | 5.00 | 18.0 GB | 12.50 |",
        "| 3,600,000 | 1024 | 1 × small (4 vCPUs) | 250.00 | 180.0 GB | 125.00 |",
        "| 3,600,000 | 1024 | 5 × small (4 vCPUs) | 50.00 | 180.0 GB | 125.00 |",
    ]
    assert "not measured" in lines[-1]


def test_its_examples_hold():
    assert doctest.testmod(arithmetic).failed == 0
