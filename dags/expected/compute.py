#!/usr/bin/env python3
"""What the flights DAG must find, computed from the CSV files with nothing of the platform.

dags/expected/compute.py            writes the JSON files beside this one
dags/expected/compute.py --check    exits with 1 where they are not what it computes
"""

from __future__ import annotations

import csv
import gzip
import json
import statistics
import sys
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
STRONG_WIND_MPH = 20
POOR_VISIBILITY_MILES = 3


def rows(name):
    with gzip.open(DATA / name, "rt", encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def number(text, kind=int):
    return None if text in ("NA", "") else kind(text)


def mean(values):
    return sum(values) / len(values) if values else None


def delays_by_month(flights, weather):
    months = defaultdict(list)
    for flight in flights:
        months[int(flight["year"]), int(flight["month"]), flight["origin"]].append(flight)
    return [month_row(key, months[key], weather) for key in sorted(months)]


def month_row(key, flights, weather):
    delays = [number(flight["dep_delay"]) for flight in flights if flight["dep_delay"] != "NA"]
    calm, windy, foggy = [], [], []
    for flight in flights:
        delay = number(flight["dep_delay"])
        seen = weather.get((flight["origin"], flight["time_hour"]))
        if delay is None or seen is None:
            continue
        wind, visibility = number(seen["wind_speed"], float), number(seen["visib"], float)
        if wind is not None:
            (windy if wind >= STRONG_WIND_MPH else calm).append(delay)
        if visibility is not None and visibility < POOR_VISIBILITY_MILES:
            foggy.append(delay)
    destinations = Counter(flight["dest"] for flight in flights)
    busiest, busiest_flights = min(destinations.items(), key=lambda item: (-item[1], item[0]))
    year, month, origin = key
    return {
        "year": year,
        "month": month,
        "origin": origin,
        "flights": len(flights),
        "cancelled": len(flights) - len(delays),
        "avg_delay": mean(delays),
        "late_share": mean([delay > 15 for delay in delays]),
        "avg_delay_calm": mean(calm),
        "avg_delay_windy": mean(windy),
        "avg_delay_foggy": mean(foggy),
        "busiest_dest": busiest,
        "busiest_flights": busiest_flights,
    }


def route_stats(flights):
    routes = defaultdict(list)
    for flight in flights:
        routes[int(flight["year"]), int(flight["month"]), flight["origin"], flight["dest"]].append(flight)
    return [route_row(key, routes[key]) for key in sorted(routes)]


def route_row(key, flights):
    departed = [int(flight["dep_delay"]) for flight in flights if flight["dep_delay"] != "NA"]
    arrived = [int(flight["arr_delay"]) for flight in flights if flight["arr_delay"] != "NA"]
    flown = [flight for flight in flights if flight["air_time"] != "NA"]
    miles = sum(int(flight["distance"]) for flight in flown)
    minutes = sum(int(flight["air_time"]) for flight in flown)
    year, month, origin, dest = key
    return {
        "year": year,
        "month": month,
        "origin": origin,
        "dest": dest,
        "flights": len(flights),
        "cancelled": len(flights) - len(departed),
        "carriers": len({flight["carrier"] for flight in flights}),
        "distance_miles": int(flights[0]["distance"]),
        "median_dep_delay_minutes": float(statistics.median(departed)) if departed else None,
        "on_time_share": mean([delay <= 15 for delay in arrived]),
        "avg_speed_mph": miles * 60.0 / minutes if minutes else None,
    }


def document(table):
    """Columns once, then a row on each line: small, and a difference shows as a line."""
    columns = list(table[0])
    lines = ",\n".join(json.dumps([row[name] for name in columns], separators=(",", ":")) for row in table)
    return f'{{"columns":{json.dumps(columns)},"rows":[\n{lines}\n]}}\n'


def main():
    flights = list(rows("flights.csv.gz"))
    weather = {(row["origin"], row["time_hour"]): row for row in rows("weather.csv.gz")}
    months = Counter(f"{int(flight['year']):04}-{int(flight['month']):02}" for flight in flights)
    totals = {
        "flights": len(flights),
        "weather": len(weather),
        "flights_by_partition": dict(sorted(months.items())),
        "cancelled": sum(flight["dep_delay"] == "NA" for flight in flights),
    }
    documents = {
        "totals.json": json.dumps(totals, indent=2) + "\n",
        "delays_by_month.json": document(delays_by_month(flights, weather)),
        "route_stats.json": document(route_stats(flights)),
    }
    wrong = 0
    for name, text in documents.items():
        path = HERE / name
        if "--check" not in sys.argv[1:]:
            path.write_text(text, encoding="utf-8")
        elif not path.exists() or path.read_text(encoding="utf-8") != text:
            print(f"{path} is not what the data says: run {Path(__file__).name}", file=sys.stderr)
            wrong = 1
    return wrong


if __name__ == "__main__":
    sys.exit(main())
