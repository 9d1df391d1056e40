//! Work in pieces sized by measured time, two of them under way: while the device computes one, the
//! host prepares the next and takes in the one before.

use std::ops::Range;
use std::time::Instant;

use super::GpuError;
use super::device::DISPATCH;

/// How large the next piece is.
#[derive(Clone, Debug)]
pub struct Pace {
    piece: usize,
    most: usize,
    last: Option<Instant>,
}

impl Pace {
    /// Begins with pieces of `first` items; none will have more than `most`.
    pub fn new(first: usize, most: usize) -> Self {
        let most = most.max(1);
        Pace { piece: first.clamp(1, most), most, last: None }
    }

    /// `count` items, submitted then, are done now.
    fn finished(&mut self, count: usize, submitted: Instant) {
        let now = Instant::now();
        // The device began when the piece was submitted or when it had done the one before.
        let began = self.last.map_or(submitted, |last| last.max(submitted));
        let seconds = now.duration_since(began).as_secs_f64().max(1e-6);
        let wanted = count as f64 * DISPATCH.as_secs_f64() / seconds;
        self.piece = (wanted as usize).clamp(1, (2 * self.piece).min(self.most));
        self.last = Some(now);
    }
}

/// Cuts 0..`count` into pieces; `submit` sets the device to work on one, `finish` waits for it and
/// takes its result while the device works on the next.
pub fn pipelined<T>(
    mut pace: Pace,
    count: usize,
    mut submit: impl FnMut(Range<usize>) -> Result<T, GpuError>,
    mut finish: impl FnMut(Range<usize>, T) -> Result<(), GpuError>,
) -> Result<(), GpuError> {
    let mut pending: Option<(Range<usize>, T, Instant)> = None;
    let mut first = 0;
    while first < count || pending.is_some() {
        let mut next = None;
        if first < count {
            let piece = first..(first + pace.piece).min(count);
            let work = submit(piece.clone())?;
            next = Some((piece.clone(), work, Instant::now()));
            first = piece.end;
        }
        if let Some((piece, work, submitted)) = std::mem::replace(&mut pending, next) {
            let items = piece.len();
            finish(piece, work)?;
            pace.finished(items, submitted);
        }
    }
    Ok(())
}

/// Multiply-adds in a first dispatch, before there is a measurement.
const FIRST_OPERATIONS: f64 = 5e7;

/// Items of `operations` multiply-adds each in a first dispatch.
pub fn first_piece(operations: f64) -> usize {
    (FIRST_OPERATIONS / operations.max(1.0)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_item_is_submitted_and_finished_once_and_in_order() {
        for (count, first, most) in [(0, 1, 4), (1, 7, 7), (10, 1, 3), (25, 100, 4)] {
            let (mut submitted, mut finished, mut ahead) = (Vec::new(), Vec::new(), 0);
            pipelined(
                Pace::new(first, most),
                count,
                |piece| {
                    assert!(piece.len() <= most);
                    submitted.extend(piece.clone());
                    Ok(submitted.len())
                },
                |piece, at_submission| {
                    assert_eq!(piece.end, at_submission);
                    finished.extend(piece);
                    ahead += 1;
                    Ok(())
                },
            )
            .unwrap();
            assert_eq!(finished, (0..count).collect::<Vec<_>>());
            assert_eq!(submitted, finished);
            assert!(ahead >= count.div_ceil(most));
        }
    }
}
