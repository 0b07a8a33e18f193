//! `Measurement`: one report of a trial, as the study keeps it.

/// One report.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Measurement {
    /// When in the trial: strictly increasing.
    pub step: u64,
    /// The measured value; finite.
    pub value: f64,
    /// The further objectives and constraints, where the report had them.
    pub beside: Option<Box<Beside>>,
    /// The trial's cost by then, if it was reported.
    pub cost: Option<f64>,
    /// When in the study, in seconds, if the caller keeps time.
    pub at_s: Option<f64>,
}

/// Further objectives and constraints of a report: all further objectives or none, and all constraints or none.
#[derive(Debug, Clone, PartialEq, Default)]
#[non_exhaustive]
pub struct Beside {
    /// The further objectives, in the order of the header's.
    pub more: Vec<f64>,
    /// The constraints, in the order of the header's.
    pub constraints: Vec<f64>,
}

impl Beside {
    /// Both, unless both are empty.
    pub(crate) fn of(more: Vec<f64>, constraints: Vec<f64>) -> Option<Box<Self>> {
        (!(more.is_empty() && constraints.is_empty())).then(|| Box::new(Self { more, constraints }))
    }
}
