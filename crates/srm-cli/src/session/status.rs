//! Put one logged update on a line of fixed width, with the time left.

use srm_run::StepRecord;
pub use srm_terminal::duration;

/// The line of one logged update; `rate` is updates per second.
pub fn line(record: &StepRecord, updates: u64, rate: f64) -> String {
    let width = updates.to_string().len().max(4);
    let left = updates.saturating_sub(record.update) as f64 / rate.max(1e-9);
    format!(
        "update {:>width$}/{updates:>width$}  f(x+) {:>9}  f(x-) {:>9}  gap {:>9}  r {:>8}  std {:>5.3}  lr {:>7}  {:>6}/s  \
         left {:>7}",
        record.update,
        short(record.f_data),
        short(record.f_sample),
        short(record.gap),
        short(record.chain_grad_norm),
        record.sample_std,
        format!("{:.1e}", record.lr),
        format!("{rate:.2}"),
        duration(left),
    )
}

/// A number of a table; - for none.
pub fn number(value: Option<f64>) -> String {
    value.filter(|value| value.is_finite()).map_or("-".to_owned(), |value| format!("{value:.4}"))
}

/// A number in at most 9 characters.
fn short(value: f64) -> String {
    let size = value.abs();
    if size == 0.0 || (1e-3..1e3).contains(&size) { format!("{value:.4}") } else { format!("{value:.2e}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(update: u64, f: f64) -> StepRecord {
        StepRecord {
            update,
            f_data: f,
            f_sample: -f,
            gap: 2.0 * f,
            chain_grad_norm: f.abs(),
            theta_grad_norm: 1.0,
            sample_std: 0.5,
            lr: 5e-4,
            data_noise: 0.03,
            seconds: 10.0,
            images_seen: 0,
            attempt: 0,
            size: None,
            grids: Vec::new(),
        }
    }

    #[test]
    fn lines_are_equally_wide_whatever_the_numbers() {
        let widths: Vec<usize> = [(1, 0.0), (99, -1234.5678), (1500, 1e-7), (200, -9.9e8)]
            .map(|(update, f)| line(&record(update, f), 1500, 2.0).chars().count())
            .to_vec();
        assert!(widths.windows(2).all(|pair| pair[0] == pair[1]), "{widths:?}");
    }

    #[test]
    fn the_line_says_what_is_left() {
        let text = line(&record(300, 0.25), 1500, 2.0);
        assert!(text.starts_with("update  300/1500  f(x+)    0.2500  f(x-)   -0.2500  gap    0.5000"), "{text}");
        assert!(text.ends_with("left  10m00s"), "{text}");
    }
}
