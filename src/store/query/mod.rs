//! Lists and filters as SQL.

mod chain;
mod expression;
pub mod filter_sql;
pub mod fragment;
mod holder;
pub mod listing;
pub mod long_reads;
pub mod member_sql;
pub mod near;
pub mod search;
pub mod selective;
pub mod sort_sql;
pub mod story;
