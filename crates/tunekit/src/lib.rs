//! Parameter search for anything: from few, noisy measurements to a configuration one can trust.
