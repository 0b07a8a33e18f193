//! The arms of the final comparison: the configurations that are measured against each other, and their roles.

use serde::{Deserialize, Serialize};
use tunekit::{Config, Space};

use crate::engines::{ADAPTIVE, Engine};

/// The role of a configuration in the comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Role {
    /// boto3's defaults, or the engine's where it has none of boto3's parameters.
    Baseline,
    /// The engine's behaviour without configuration.
    EngineDefault,
    /// The configuration that the search found.
    Best,
}

/// A configuration to measure. A configuration with several roles is measured once for all of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Arm {
    /// Its role.
    pub(crate) roles: Vec<Role>,
    /// The trial that found it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trial: Option<u64>,
    /// All parameters of the engine.
    pub(crate) config: Config,
}

impl Arm {
    /// Its roles, as tables name them.
    pub(crate) fn names(&self) -> &'static str {
        let is = |role| self.roles.contains(&role);
        match (is(Role::Baseline), is(Role::EngineDefault), is(Role::Best)) {
            (true, true, true) => "baseline+engine_default+best",
            (true, true, false) => "baseline+engine_default",
            (true, false, true) => "baseline+best",
            (true, false, false) => "baseline",
            (false, true, true) => "engine_default+best",
            (false, true, false) => "engine_default",
            (false, false, _) => "best",
        }
    }
}

/// The configurations that are known without a search, each with all parameters of the engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct References {
    /// The engine's behaviour when nobody configures it.
    pub(crate) engine_default: Config,
    /// boto3's defaults, or the engine's where it has none of boto3's parameters.
    pub(crate) baseline: Config,
    /// Whether the baseline is boto3's.
    pub(crate) baseline_is_boto3: bool,
}

impl References {
    pub(crate) fn of(engine: &Engine) -> Self {
        let engine_default = engine.complete(&Config::new());
        let boto3 = engine.boto3_defaults();
        let baseline_is_boto3 = boto3.is_some();
        let baseline = boto3.map_or_else(|| engine_default.clone(), |boto3| engine.complete(&boto3));
        Self { engine_default, baseline, baseline_is_boto3 }
    }

    /// The arms of a comparison with `best`, which has all parameters of the engine.
    pub(crate) fn arms(&self, best: Config, trial: u64) -> Vec<Arm> {
        let mut arms: Vec<Arm> = Vec::new();
        let all = [(Role::Baseline, &self.baseline), (Role::EngineDefault, &self.engine_default), (Role::Best, &best)];
        for (role, config) in all {
            let trial = (role == Role::Best).then_some(trial);
            match arms.iter_mut().find(|arm| arm.config == *config) {
                Some(arm) => {
                    arm.roles.push(role);
                    arm.trial = arm.trial.or(trial);
                }
                None => arms.push(Arm { roles: vec![role], trial, config: config.clone() }),
            }
        }
        arms
    }
}

/// The values of the space's parameters.
pub(crate) fn in_space(space: &Space, config: &Config) -> Config {
    space.iter().fold(Config::new(), |inside, (name, _)| match config.value(name) {
        Some(value) => inside.with(name, value.clone()),
        None => inside,
    })
}

/// The same values with the switch that makes numbers bounds: without the switch a reader would take them as exact.
pub(crate) fn shown_in_space(space: &Space, config: &Config) -> Config {
    let inside = in_space(space, config);
    if config.bool(ADAPTIVE) == Some(true) { inside.with(ADAPTIVE, true) } else { inside }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_configurations_are_one_arm_with_all_their_roles() {
        let references = References::of(&Engine::s3xfer());
        let three = references.arms(references.engine_default.clone().with("max_concurrency", 64), 7);
        let roles: Vec<_> = three.iter().map(|arm| (arm.roles.clone(), arm.trial)).collect();
        let expected = [(vec![Role::Baseline], None), (vec![Role::EngineDefault], None), (vec![Role::Best], Some(7))];
        assert_eq!(roles, expected);

        let two = references.arms(references.engine_default.clone(), 0);
        let roles: Vec<_> = two.iter().map(|arm| (arm.roles.clone(), arm.trial)).collect();
        assert_eq!(roles, [(vec![Role::Baseline], None), (vec![Role::EngineDefault, Role::Best], Some(0))]);
    }

    #[test]
    fn bounds_are_shown_as_bounds_where_the_space_has_no_switch() {
        let space = Engine::s3xfer().space(Some("compat"), 1 << 30).unwrap();
        let default = Engine::s3xfer().complete(&Config::new());
        let shown = shown_in_space(&space, &default);
        assert_eq!((shown.len(), shown.bool(ADAPTIVE)), (5, Some(true)));
        let fixed = shown_in_space(&space, &default.with(ADAPTIVE, false));
        assert_eq!((fixed.len(), fixed.bool(ADAPTIVE)), (4, None), "they are read so anyway");
    }
}
