//! The kernel compared with its naive twin.

use super::*;
use kinglet_core::Code;
use proptest::prelude::*;

/// Returns whether `n` is prime, by Miller and Rabin; these bases decide it for all of `u64` (Sorenson and Webster, 2015).
fn is_prime(n: u64) -> bool {
    const BASES: [u64; 12] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37];
    if n < 2 || BASES.iter().any(|&p| n != p && n.is_multiple_of(p)) {
        return false;
    }
    if BASES.contains(&n) {
        return true;
    }
    let times = |a: u64, b: u64| (u128::from(a) * u128::from(b) % u128::from(n)) as u64;
    let twos = (n - 1).trailing_zeros();
    BASES.iter().all(|&base| {
        let (mut power, mut square, mut odd) = (1, base, (n - 1) >> twos);
        while odd > 0 {
            if odd & 1 == 1 {
                power = times(power, square);
            }
            square = times(square, square);
            odd >>= 1;
        }
        power == 1
            || (0..twos).any(|_| {
                let found = power == n - 1;
                power = times(power, power);
                found
            })
    })
}

fn naive(from: u64, to: u64) -> Vec<u64> {
    (from..=to).filter(|&n| is_prime(n)).collect()
}

fn on(threads: usize) -> rayon::ThreadPool {
    rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap()
}

fn check(from: u64, to: u64) {
    let want = naive(from, to);
    for threads in [1, 3] {
        on(threads).install(|| {
            assert_eq!(list(from, to).unwrap(), want, "{from} to {to}, {threads} threads");
            assert_eq!(count(from, to).unwrap(), want.len() as u64);
            assert_eq!(sum(from, to).unwrap(), want.iter().map(|&p| u128::from(p)).sum());
        });
    }
}

#[test]
fn every_short_range_at_the_beginning() {
    for from in 0..70 {
        for to in from..130 {
            assert_eq!(list(from, to).unwrap(), naive(from, to), "{from} to {to}");
        }
    }
}

#[test]
fn the_powers_of_two() {
    for bits in [20, 31, 32, 33, 45, 50] {
        check((1 << bits) - 5_000, (1 << bits) + 5_000);
    }
}

/// The largest prime below 2^64 is 2^64 − 59. This sieves only once, as there are 203 million sieving primes.
#[test]
fn the_top() {
    let (from, to) = (u64::MAX - 20_000, u64::MAX);
    let listed = list(from, to).unwrap();
    assert_eq!(listed, naive(from, to));
    assert_eq!(listed.last(), Some(&(u64::MAX - 58)));
}

#[test]
fn squares_and_products_of_sieving_primes_are_struck() {
    for root in [167_u64, 9_973, 10_007, 65_537, 1_572_869, 1_600_033, 40_000_003] {
        check(root * root - 300, root * root + 300);
    }
}

/// Returns what [`for_each_slice`] gives on this many threads. Each slice must be sorted and not empty, and on one thread the
/// slices must be in order, too.
fn in_slices(from: u64, to: u64, threads: usize) -> Vec<u64> {
    let mut all = Vec::new();
    let each = |slice: &[u64]| -> Result<()> {
        assert!(!slice.is_empty() && slice.is_sorted() && slice.len() < SLICE + (1 << 20));
        all.extend_from_slice(slice);
        Ok(())
    };
    on(threads).install(|| for_each_slice(from, to, each)).unwrap();
    if threads > 1 {
        all.sort_unstable();
    }
    all
}

#[test]
fn slices_are_bounded_and_all_of_the_list() {
    let top = u64::from(u32::MAX);
    for (from, to) in [(0, 20_000_000), (3, 3), (24, 28), (0, 1), (top * top - 10_000_000, top * top + 20_000_000)] {
        let want = list(from, to).unwrap();
        for threads in [1, 3] {
            assert!(in_slices(from, to, threads) == want, "{from} to {to}, {threads} threads");
        }
    }
}

/// The range is longer than one way of a thread, so several ways meet.
#[test]
fn slices_of_a_long_range_are_all_of_it_in_order() {
    let (from, to) = (7, 600_000_000);
    assert!(to > LISTED_BYTES * 30 * 2);
    let (mut count_here, mut sum_here, mut last) = (0, 0, 0);
    let each = |slice: &[u64]| -> Result<()> {
        assert!(last < slice[0], "{last} before {}", slice[0]);
        last = slice[slice.len() - 1];
        count_here += slice.len() as u64;
        sum_here += slice.iter().map(|p| u128::from(*p)).sum::<u128>();
        Ok(())
    };
    on(1).install(|| for_each_slice(from, to, each)).unwrap();
    assert_eq!((count_here, sum_here), (count(from, to).unwrap(), sum(from, to).unwrap()));
}

#[test]
fn the_first_error_ends_the_slices() {
    let mut calls = 0;
    let error = for_each_slice(0, 100_000_000, |_| {
        calls += 1;
        Err(Error::new(Code::ProgramFailed, "enough"))
    });
    assert_eq!((error.unwrap_err().code(), calls), ("program-failed", 1));
    assert_eq!(for_each_slice(3, 2, |_| Ok::<(), Error>(())).unwrap_err().code(), "range-reversed");
}

/// Compared with a sieve that others wrote.
#[test]
fn the_same_primes_as_primal() {
    const END: u64 = 1 << 26;
    let primal = primal_sieve::Sieve::new(END as usize);
    let before = |n: u64| if n == 0 { 0 } else { primal.prime_pi(n as usize - 1) };
    // Mostly short ranges, some of millions, starting anywhere on a scale of powers of two.
    let range = (0..26_u32, any::<u64>(), 0..24_u32, any::<u64>());
    proptest!(ProptestConfig::with_cases(200), |((bits, low, length_bits, length) in range)| {
        let from = (1 << bits | low) % (2 << bits);
        let to = (from + length % (1 << length_bits)).min(END);
        let want: Vec<u64> =
            primal.primes_from(from as usize).map(|p| p as u64).take_while(|p| *p <= to).collect();
        prop_assert_eq!(count(from, to).unwrap() as usize, primal.prime_pi(to as usize) - before(from));
        prop_assert_eq!(sum(from, to).unwrap(), want.iter().map(|p| u128::from(*p)).sum());
        prop_assert!(in_slices(from, to, 1) == want && in_slices(from, to, 2) == want, "slices of {from} to {to}");
        prop_assert!(list(from, to).unwrap() == want, "list of {from} to {to}");
    });
    assert_eq!(count(0, END).unwrap() as usize, primal.prime_pi(END as usize));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn a_range_anywhere(bits in 1..50_u32, low in any::<u64>(), length in 0..3_000_u64) {
        let from = low >> (64 - bits);
        check(from, from + length);
    }

    #[test]
    fn cuts_do_not_matter(from in 0..1_000_000_000_000_u64, length in 0..40_000_000_u64, threads in 2..5_usize) {
        let alone = on(1).install(|| sum(from, from + length).unwrap());
        prop_assert_eq!(on(threads).install(|| sum(from, from + length).unwrap()), alone);
        let middle = from + length / 3;
        let after = if middle == from + length { 0 } else { sum(middle + 1, from + length).unwrap() };
        prop_assert_eq!(sum(from, middle).unwrap() + after, alone);
    }
}

/// <https://oeis.org/A006880>, <https://oeis.org/A046731>.
#[test]
fn powers_of_ten() {
    let counts = [4, 25, 168, 1_229, 9_592, 78_498, 664_579, 5_761_455, 50_847_534];
    let sums: [u128; 9] = [
        17,
        1_060,
        76_127,
        5_736_396,
        454_396_537,
        37_550_402_023,
        3_203_324_994_356,
        279_209_790_387_276,
        24_739_512_092_254_535,
    ];
    for (n, (want, sum_wanted)) in (1..).zip(counts.into_iter().zip(sums)) {
        assert_eq!(count(0, 10_u64.pow(n)).unwrap(), want);
        assert_eq!(sum(0, 10_u64.pow(n)).unwrap(), sum_wanted);
    }
}

/// The ranges are long enough for several segments with primes in buckets. primesieve 11.0 counted them.
#[test]
fn long_ranges_high_up() {
    assert_eq!(count(1_000_000_000_000_000, 1_000_000_100_000_000).unwrap(), 2_893_937);
}

#[test]
fn a_reversed_range_is_named() {
    let error = count(10, 9).unwrap_err();
    assert_eq!(error.code(), "range-reversed");
    assert_eq!(error.to_string(), "the range from 10 to 9 ends before it begins");
}
