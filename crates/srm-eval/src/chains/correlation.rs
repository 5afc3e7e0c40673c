//! Correlate a series with itself and with another over lags.

/// Autocorrelation at lags 0 to `most`: Σ (xᵢ − x̄)(xᵢ₊ₗ − x̄) / Σ (xᵢ − x̄)².
///
/// The sum is divided by n at every lag, not by n − lag: the usual estimator, biased towards 0, whose values stay in [-1, 1].
/// A constant series has none: every value is NaN.
pub fn autocorrelation(x: &[f64], most: usize) -> Vec<f64> {
    cross_correlation(x, x, most).split_off(most)
}

/// Cross-correlation at lags −`most` to `most`: Σ (xᵢ − x̄)(yᵢ₊ₗ − ȳ) / √(Σ (xᵢ − x̄)² Σ (yᵢ − ȳ)²). At a positive lag y comes
/// after x. Both series are cut to the shorter one.
pub fn cross_correlation(x: &[f64], y: &[f64], most: usize) -> Vec<f64> {
    let n = x.len().min(y.len());
    let (x, y) = (centred(&x[..n]), centred(&y[..n]));
    let scale =
        (x.iter().map(|value| value * value).sum::<f64>() * y.iter().map(|value| value * value).sum::<f64>()).sqrt();
    let most = most as isize;
    let at = |lag: isize| {
        let products = (0..n as isize).filter_map(|i| Some(x[i as usize] * y.get(usize::try_from(i + lag).ok()?)?));
        products.sum::<f64>() / scale
    };
    (-most..=most).map(at).collect()
}

fn centred(x: &[f64]) -> Vec<f64> {
    let mean = x.iter().sum::<f64>() / x.len().max(1) as f64;
    x.iter().map(|value| value - mean).collect()
}
