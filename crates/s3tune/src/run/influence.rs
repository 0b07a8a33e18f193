//! The influence of the parameters, computed from the search's own model, which is rebuilt from the journal.

use tunekit::results::{ImportanceError, Importances, PartialDependence, Surface};
use tunekit::{Study, Value};

use crate::results::{Curve, CurvePoint, Influence, ParameterValue, Share};

/// Values of a parameter at which its curve is computed.
const POINTS: usize = 20;

/// The findings about the parameters in the journal.
#[derive(Debug)]
pub(crate) struct Explained {
    pub(crate) importances: Importances,
    /// The parameter that matters most first.
    pub(crate) curves: Vec<PartialDependence>,
}

/// Explains a study, or returns the reason why it cannot. The computation takes hundreds of milliseconds for a hundred
/// trials.
///
/// A study rebuilt from the journal has the searcher of the search and, if the searcher has a model, that model: the
/// report then describes the search's own model.
pub(crate) fn explain(study: &Study) -> Result<Explained, ImportanceError> {
    let importances = study.importances()?;
    let by_share = importances.main.iter().flat_map(|importance| &importance.parameters);
    let curves = by_share.map(|name| study.partial_dependence(name, POINTS)).collect::<Result<_, _>>()?;
    Ok(Explained { importances, curves })
}

impl Explained {
    /// As the report takes it.
    pub(crate) fn influence(&self) -> Influence {
        let Importances { surface, configurations, known, main, pairs, .. } = &self.importances;
        let curve = |curve: &PartialDependence| Curve {
            parameter: curve.parameter.clone(),
            points: curve
                .points
                .iter()
                .map(|point| CurvePoint { value: parameter_value(&point.value), mean: point.mean, ci95: point.ci95 })
                .collect(),
        };
        Influence {
            configurations: *configurations as u64,
            surface: match surface {
                Surface::Model => "the search's own model".to_owned(),
                _ => "a random forest".to_owned(),
            },
            known: *known,
            shares: main
                .iter()
                .chain(pairs)
                .map(|of| Share { parameters: of.parameters.clone(), share: of.share, sd: of.sd })
                .collect(),
            curves: self.curves.iter().map(curve).collect(),
        }
    }
}

pub(crate) fn parameter_value(value: &Value) -> ParameterValue {
    value.as_f64().map_or_else(|| ParameterValue::Choice(value.to_string()), ParameterValue::Number)
}
