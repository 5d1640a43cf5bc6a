//! Operators on small files, and on the demo's real data.

mod csv_to_parquet;
mod flights;
