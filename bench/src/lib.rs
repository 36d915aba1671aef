//! What both benchmarks share.

/// The median, or NaN when there are no values. Of an even number of values, the
/// upper one of the two in the middle.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
