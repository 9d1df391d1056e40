//! One hidden layer whose activation grows: relu, leaky relu, softplus, silu, gelu.
//!
//! Such an activation is a straight line and an even function, phi(z) = (s/2) z + e(z), and far from 0 it is straight on both
//! sides. So far out f is linear between the hyperplanes of its units. Seen from a point p there, each unit is turned so that p
//! lies where it is 0; then
//!
//! ```text
//! f(x) = f(p) + g . (x - p) + sum_i c_i phi(z_i(x)),    z_i(p) far below 0,
//! ```
//!
//! exactly, and between two cells the gradient differs by c_i a_i of the units between them.
//!
//! | file | what |
//! |---|---|
//! | [`star`] | lines from p to distant points, until nothing bends f but the units found |
//! | [`line`] | the bends of f along a line, told apart by halving cells |
//! | [`bend`] | one bend: its place, its slope and its height |
//! | [`aside`] | gradients between bends, which tell the weights of the units; K outputs tell up to K of them at once |
//! | [`turns`] | which units were turned: those of which g is the sum |

mod aside;
mod bend;
mod line;
mod star;
mod tolerances;
mod turns;

use crate::identify::context::Context;
use crate::identify::failure::{Failure, Halt};
use crate::identify::shallow::sightings::Sightings;
use crate::network::Activation;
use crate::oracle::Mixture;
use crate::stage::Stage;

/// The activations to try where `asked` is known or not: none for one that does not grow. Relu stands for leaky relu too:
/// their bends are the same.
fn families(asked: Option<Activation>) -> &'static [Activation] {
    use Activation::{Gelu, GeluTanh, LeakyRelu, Relu, Silu, Softplus};
    match asked {
        Some(Relu | LeakyRelu) => &[Relu],
        Some(Softplus) => &[Softplus],
        Some(Silu) => &[Silu],
        Some(Gelu) => &[Gelu],
        Some(GeluTanh) => &[GeluTanh],
        Some(_) => &[],
        None => &[Relu, Softplus, Silu, Gelu, GeluTanh],
    }
}

/// Finds all units of f, which has one hidden layer and grows, by the bends that it has far out. Values are the `mixture` of its
/// outputs.
pub(super) fn sightings(
    cx: &mut Context<'_>,
    mixture: &Mixture,
    asked: Option<Activation>,
) -> Result<Sightings, Halt> {
    let families = families(asked);
    if families.is_empty() {
        let names = asked.map_or("", Activation::name);
        let reason = format!("the values grow with the distance, those of {names} do not");
        return Err(Failure::new(Stage::Lines, reason).into());
    }
    let found = star::star(cx, mixture, families)?;
    match (turns::turned(&found, asked), found.left) {
        (Ok(network), left) => Ok(Sightings { network, margin: found.margin, left }),
        // Of units that are not all of them nothing more is told.
        (Err(failure), left) => Err(left.unwrap_or(failure).into()),
    }
}
