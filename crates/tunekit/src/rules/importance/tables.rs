//! The findings about parameters as tables: one row per share, one row per point of a curve. The doors write files.

use super::{Importance, Importances, PartialDependence, PartialPoint};
use crate::words::table::{Cells, Table};

impl Importances {
    /// One row per share, parameters first, then pairs: `parameter`, `with` (the other parameter of a pair), `share`,
    /// `sd`, and on every row their source: `surface`, `known` and the number of `configurations`.
    pub fn table(&self) -> Table {
        let rows: Vec<&Importance> = self.main.iter().chain(&self.pairs).collect();
        let name = |place: usize| Cells::Text(rows.iter().map(|row| row.parameters.get(place).cloned()).collect());
        let number = |of: fn(&Importance) -> f64| Cells::Float(rows.iter().map(|row| Some(of(row))).collect());
        Table::new(vec![
            ("parameter".to_owned(), name(0)),
            ("with".to_owned(), name(1)),
            ("share".to_owned(), number(|row| row.share)),
            ("sd".to_owned(), number(|row| row.sd)),
            ("surface".to_owned(), Cells::Text(vec![Some(self.surface.as_str().to_owned()); rows.len()])),
            ("known".to_owned(), Cells::Float(vec![Some(self.known); rows.len()])),
            ("configurations".to_owned(), Cells::Int(vec![Some(self.configurations as i64); rows.len()])),
        ])
    }
}

impl PartialDependence {
    /// One row per point of each of `curves`, in their order: `parameter`, `value`, `mean`, `ci95_lower`, `ci95_upper`,
    /// `surface`.
    pub fn table(curves: &[Self]) -> Table {
        let rows: Vec<(&Self, &PartialPoint)> =
            curves.iter().flat_map(|curve| curve.points.iter().map(move |point| (curve, point))).collect();
        let text =
            |of: fn(&Self, &PartialPoint) -> String| Cells::Text(rows.iter().map(|(c, p)| Some(of(c, p))).collect());
        let number = |of: fn(&PartialPoint) -> f64| Cells::Float(rows.iter().map(|(_, p)| Some(of(p))).collect());
        Table::new(vec![
            ("parameter".to_owned(), text(|curve, _| curve.parameter.clone())),
            ("value".to_owned(), text(|_, point| point.value.to_string())),
            ("mean".to_owned(), number(|point| point.mean)),
            ("ci95_lower".to_owned(), number(|point| point.ci95[0])),
            ("ci95_upper".to_owned(), number(|point| point.ci95[1])),
            ("surface".to_owned(), text(|curve, _| curve.surface.as_str().to_owned())),
        ])
    }
}
