//! Which activation a layer has: those that are possible are tried, and what is seen of the layer
//! orders them.

use super::tolerances::ACTIVATION_EXCLUDED;
use crate::identify::failure::{Failure, Halt};
use crate::network::Activation;
use crate::stage::Stage;

/// The activations to try where `asked` is known or not: none for one that does not saturate. Sigmoid is tanh in other parameters:
/// sigma(z) = (1 + tanh(z/2)) / 2.
pub fn families(asked: Option<Activation>) -> &'static [Activation] {
    match asked {
        Some(Activation::Tanh | Activation::Sigmoid) => &[Activation::Tanh],
        Some(Activation::Erf) => &[Activation::Erf],
        Some(_) => &[],
        None => &[Activation::Tanh, Activation::Erf],
    }
}

/// An activation and what it leads to.
pub struct Entrant<T> {
    /// The activation.
    pub activation: Activation,
    /// The least misfit of the others over this one's. `None` where there is no other.
    pub margin: Option<f64>,
    /// What it leads to.
    pub what: T,
}

/// What `fit` makes of each of the `activations`, as (misfit, result), the best fitting first. Left out
/// are those that surely are not the layer's, and those with which it fails.
///
/// # Errors
/// The last failure, if there is none that does not fail.
pub fn contest<T>(
    activations: &[Activation],
    mut fit: impl FnMut(Activation) -> Result<(f64, T), Halt>,
) -> Result<Vec<Entrant<T>>, Halt> {
    let mut fits = Vec::new();
    let mut last = Failure::new(Stage::Start, "no activation was tried");
    for &activation in activations {
        match fit(activation) {
            Ok((misfit, what)) => fits.push((misfit, activation, what)),
            Err(Halt::Failed(failure)) => last = failure,
            Err(halt) => return Err(halt),
        }
    }
    if fits.is_empty() {
        return Err(last.into());
    }
    fits.sort_by(|a, b| a.0.total_cmp(&b.0));
    let misfits: Vec<f64> = fits.iter().map(|fit| fit.0).collect();
    let others = |k: usize| if k == 0 { misfits.get(1) } else { misfits.first() };
    let entrants = fits.into_iter().enumerate().map(|(k, (misfit, activation, what))| {
        let margin = others(k).map(|other| other / misfit).filter(|margin| margin.is_finite());
        Entrant { activation, margin, what }
    });
    Ok(entrants
        .filter(|e| e.margin.is_none_or(|margin| margin * ACTIVATION_EXCLUDED > 1.0))
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(tanh: Option<f64>, erf: Option<f64>) -> Result<Vec<(Activation, Option<f64>)>, Halt> {
        let entrants = contest(families(None), |activation| {
            let misfit = if activation == Activation::Erf { erf } else { tanh };
            let misfit = misfit.ok_or_else(|| Failure::new(Stage::Start, "open"))?;
            Ok((misfit, ()))
        });
        Ok(entrants?.into_iter().map(|e| (e.activation, e.margin)).collect())
    }

    #[test]
    fn the_best_fitting_comes_first_and_a_hopeless_one_not_at_all() {
        let (tanh, erf) = (Activation::Tanh, Activation::Erf);
        let close = order(Some(3.0), Some(1.0)).unwrap();
        assert_eq!(close, [(erf, Some(3.0)), (tanh, Some(1.0 / 3.0))]);
        assert_eq!(order(Some(0.5f64.powi(9)), Some(1.0)).unwrap(), [(tanh, Some(512.0))]);
        assert_eq!(order(None, Some(1.0)).unwrap(), [(erf, None)]);
        assert!(order(None, None).is_err());
    }
}
