//! What flew on each route in a month: counts, the median delay, and how punctual the carriers are.
//!
//! A median is what SQL engines disagree about, so that it is computed here, row by row.

use std::{collections::BTreeMap, process::ExitCode};

use serde::{Deserialize, Serialize};

#[derive(Deserialize)]
struct Flight {
    year: i64,
    month: i64,
    origin: String,
    dest: String,
    carrier: String,
    distance: i64,
    dep_delay: Option<i64>,
    arr_delay: Option<i64>,
    air_time: Option<i64>,
}

#[derive(Serialize)]
struct Route {
    year: i64,
    month: i64,
    origin: String,
    dest: String,
    /// Scheduled flights, the cancelled ones included.
    flights: usize,
    /// Flights that never left.
    cancelled: usize,
    carriers: usize,
    distance_miles: i64,
    median_dep_delay_minutes: Option<f64>,
    /// Of the flights that arrived, how many were at most 15 minutes late.
    on_time_share: Option<f64>,
    avg_speed_mph: Option<f64>,
}

fn main() -> ExitCode {
    trace_udf::run(|ctx| {
        let flights: Vec<Flight> = ctx.sql(
            "SELECT year, month, origin, dest, carrier, distance, dep_delay, arr_delay, air_time FROM flights",
        )?;
        let count = flights.len();
        let mut by_route = BTreeMap::<_, Vec<Flight>>::new();
        for flight in flights {
            by_route.entry((flight.origin.clone(), flight.dest.clone())).or_default().push(flight);
        }
        let routes: Vec<Route> = by_route.values().filter_map(|flights| summarise(flights)).collect();
        ctx.log(format_args!("{}: {count} flights on {} routes", ctx.partition(), routes.len()));
        ctx.write("routes", &routes)?;
        Ok(())
    })
}

/// One row for the flights of one route; nothing for none.
fn summarise(flights: &[Flight]) -> Option<Route> {
    let first = flights.first()?;
    let mut delays: Vec<i64> = flights.iter().filter_map(|flight| flight.dep_delay).collect();
    delays.sort_unstable();
    let mut carriers: Vec<&str> = flights.iter().map(|flight| flight.carrier.as_str()).collect();
    carriers.sort_unstable();
    carriers.dedup();
    let arrived: Vec<i64> = flights.iter().filter_map(|flight| flight.arr_delay).collect();
    let on_time = arrived.iter().filter(|delay| **delay <= 15).count();
    let flown: Vec<(i64, i64)> =
        flights.iter().filter_map(|flight| Some((flight.distance, flight.air_time?))).collect();
    let (miles, minutes) = flown.iter().fold((0, 0), |sum, leg| (sum.0 + leg.0, sum.1 + leg.1));
    Some(Route {
        year: first.year,
        month: first.month,
        origin: first.origin.clone(),
        dest: first.dest.clone(),
        flights: flights.len(),
        cancelled: flights.len() - delays.len(),
        carriers: carriers.len(),
        distance_miles: first.distance,
        median_dep_delay_minutes: median(&delays),
        on_time_share: ratio(on_time as f64, arrived.len() as f64),
        avg_speed_mph: ratio(miles as f64 * 60.0, minutes as f64),
    })
}

/// The middle of sorted numbers; between the two middle ones when there is no single one.
fn median(sorted: &[i64]) -> Option<f64> {
    let middle = sorted.len() / 2;
    match sorted {
        [] => None,
        [.., _] if sorted.len() % 2 == 1 => Some(sorted[middle] as f64),
        _ => Some((sorted[middle - 1] + sorted[middle]) as f64 / 2.0),
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}
