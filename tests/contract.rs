//! What every implementation of a seam promises: one set of cases, run for each.

mod store;
