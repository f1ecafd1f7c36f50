//! For tests of this crate and of others: given-when-then, builders, proptest strategies.
