//! Keyword arguments as the settings of a run.

use std::path::PathBuf;
use std::time::Duration;

use disentangle::algebra::rank_one::Ascent;
use disentangle::identify::{Descent, FirstLayer, FitBy, LocalSampling, Pipeline, Settings};
use disentangle::nalgebra::DVector;
use disentangle::oracle::Deadline;
use disentangle::oracle::design::Design;
use disentangle::{Activation, Link};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use crate::errors::value;

/// Longest time limit in seconds: adding it to a point in time cannot overflow.
const LONGEST: f64 = 4e9;

/// Of two hidden layers, or of one.
type Widths = (Option<(usize, usize)>, Option<usize>);

/// Keyword arguments by name. `None` stands for what is not said.
pub struct Keywords<'a, 'py>(pub &'a Bound<'py, PyDict>);

impl<'py> Keywords<'_, 'py> {
    fn said(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        Ok(self.0.get_item(name)?.filter(|value| !value.is_none()))
    }

    /// A value of a type that is described as `what`.
    pub fn get<T: FromPyObjectOwned<'py>>(&self, name: &str, what: &str) -> PyResult<Option<T>> {
        let Some(said) = self.said(name)? else { return Ok(None) };
        match said.extract() {
            Ok(value) => Ok(Some(value)),
            Err(_) => {
                Err(PyTypeError::new_err(format!("{name} must be {what}, not {}", said.repr()?)))
            }
        }
    }

    /// A count of at least 1.
    pub fn count<T: FromPyObjectOwned<'py> + PartialEq + From<u8>>(
        &self,
        name: &str,
    ) -> PyResult<Option<T>> {
        let found = self.get::<T>(name, "a whole number of at least 1")?;
        match found {
            Some(count) if count == T::from(0) => Err(value(format!("{name} must be at least 1"))),
            found => Ok(found),
        }
    }

    /// One of `all` by its name.
    pub fn choice<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        name_of: fn(T) -> &'static str,
    ) -> PyResult<Option<T>> {
        let Some(said) = self.get::<String>(name, "a name")? else { return Ok(None) };
        match all.iter().find(|&&one| name_of(one) == said) {
            Some(&one) => Ok(Some(one)),
            None => {
                let known: Vec<_> = all.iter().map(|&one| name_of(one)).collect();
                Err(value(format!("{name} is {said:?}; known are {}", known.join(", "))))
            }
        }
    }

    /// `None` for `"auto"`.
    fn unless_auto(&self, name: &str) -> PyResult<Option<Bound<'py, PyAny>>> {
        let said = self.said(name)?;
        let auto =
            |said: &Bound<'py, PyAny>| said.cast::<PyString>().is_ok_and(|text| text == "auto");
        Ok(said.filter(|said| !auto(said)))
    }

    /// The activations: a name for all hidden layers, or one for each.
    pub fn activations(&self, name: &str) -> PyResult<Vec<Activation>> {
        let Some(said) = self.unless_auto(name)? else { return Ok(Vec::new()) };
        let names: Vec<String> = match said.extract::<String>() {
            Ok(names) => names.split(',').map(str::to_owned).collect(),
            Err(_) => said.extract().map_err(|_| {
                PyTypeError::new_err(format!("{name} must be a name or a list of names"))
            })?,
        };
        names.iter().map(|name| name.parse().map_err(value)).collect()
    }

    /// The link, on its range; `None` where it is to be found.
    pub fn link(&self) -> PyResult<Option<Link>> {
        let range = self.get::<(f64, f64)>("link_range", "a pair of numbers such as (1, 5)")?;
        let Some(said) = self.unless_auto("link")? else {
            return match range {
                Some(_) => Err(value("link_range needs a link: \"sigmoid\" or \"tanh\"")),
                None => Ok(None),
            };
        };
        let name: String =
            said.extract().map_err(|_| PyTypeError::new_err("link must be a name"))?;
        let link = Link::named(&name).map_err(value)?;
        match range {
            Some((lo, hi)) => link.with_range(lo, hi).map(Some).map_err(value),
            None => Ok(Some(link)),
        }
    }

    /// The settings of a run that begins now.
    pub fn settings(&self) -> PyResult<Settings> {
        let default = Settings::default();
        let activations = self.activations("activation")?;
        if activations.len() > 2 {
            return Err(value("activation names one hidden layer or two"));
        }
        let (widths, width) = self.widths()?;
        Ok(Settings {
            seed: self.get("seed", "a whole number of at least 0")?.unwrap_or(default.seed),
            depth: self.depth()?,
            link: self.link()?,
            pipeline: self.choice("pipeline", &Pipeline::ALL, Pipeline::name)?.unwrap_or_default(),
            first_layer: self
                .choice("first_layer", &FirstLayer::ALL, FirstLayer::name)?
                .unwrap_or_default(),
            fit: self.choice("fit", &FitBy::ALL, FitBy::name)?.unwrap_or_default(),
            activation: activations.first().copied(),
            second_activation: activations.get(1).copied(),
            ascent: self.choice("ascent", &Ascent::ALL, Ascent::name)?,
            max_queries: self.count("max_queries")?.unwrap_or(default.max_queries),
            widths,
            width,
            attempts: self.count("attempts")?.unwrap_or(default.attempts),
            tolerance: self.get("tolerance", "a number above 0")?.unwrap_or(default.tolerance),
            local: LocalSampling {
                centre: self.get::<Vec<f64>>("center", "a list of numbers")?.map(DVector::from_vec),
                radius: self.get("radius", "a number above 0")?,
                design: self.choice("design", &Design::ALL, Design::name)?,
                hessians: self
                    .count::<u32>("hessians")?
                    .and_then(|count| usize::try_from(count).ok()),
                descent: self.choice("descent", &Descent::ALL, Descent::name)?,
            },
            domain_radius: self.get("domain_radius", "a number above 0")?,
            deadline: self.time_limit()?.map(Deadline::after),
        })
    }

    fn depth(&self) -> PyResult<Option<usize>> {
        let Some(said) = self.unless_auto("depth")? else { return Ok(None) };
        match said.extract::<usize>() {
            Ok(depth @ (1 | 2)) => Ok(Some(depth)),
            _ => Err(value(format!("depth must be 1, 2 or \"auto\", not {}", said.repr()?))),
        }
    }

    /// (m0, m1), or m alone.
    fn widths(&self) -> PyResult<Widths> {
        let Some(said) = self.said("widths")? else { return Ok((None, None)) };
        let numbers =
            said.extract::<usize>().map(|m| vec![m]).or_else(|_| said.extract::<Vec<usize>>());
        match numbers.as_deref() {
            Ok([m]) if *m > 0 => Ok((None, Some(*m))),
            Ok([m0, m1]) if *m0 > 0 && *m1 > 0 => Ok((Some((*m0, *m1)), None)),
            _ => Err(value(format!(
                "widths must be (m0, m1), or one number for one hidden layer, not {}",
                said.repr()?
            ))),
        }
    }

    fn time_limit(&self) -> PyResult<Option<Duration>> {
        let what = "a number of seconds above 0";
        let Some(seconds) = self.get::<f64>("time_limit", what)? else { return Ok(None) };
        if !(seconds > 0.0 && seconds < LONGEST) {
            return Err(value(format!("time_limit must be {what}, not {seconds}")));
        }
        Duration::try_from_secs_f64(seconds).map(Some).map_err(value)
    }

    /// The folder of the checkpoint, and whether it must be there.
    pub fn checkpoint(&self) -> PyResult<Option<(PathBuf, bool)>> {
        let folder = self.get::<PathBuf>("checkpoint", "a folder")?;
        let resume = self.get::<bool>("resume", "True or False")?.unwrap_or(false);
        match folder {
            Some(folder) => Ok(Some((folder, resume))),
            None if resume => Err(value("resume needs a checkpoint: the folder to go on from")),
            None => Ok(None),
        }
    }
}
