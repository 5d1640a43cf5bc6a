"""Delays of each month and airport: in all, in strong wind, in poor visibility; and the busiest route.

Flights join the weather by airport and hour of departure. SQL adds up, Python divides: a sum of whole
numbers is exact in whatever order it is made.
"""

from trace_udf import task

STRONG_WIND_MPH = 20
POOR_VISIBILITY_MILES = 3

SUMS = f"""
    SELECT d.year, d.month, d.origin,
           sum(d.flights) AS flights,
           sum(d.departed) AS departed,
           sum(d.delay_minutes) AS minutes,
           sum(d.late) AS late,
           sum(CASE WHEN w.wind_speed >= {STRONG_WIND_MPH} THEN d.departed END) AS windy_departed,
           sum(CASE WHEN w.wind_speed >= {STRONG_WIND_MPH} THEN d.delay_minutes END) AS windy_minutes,
           sum(CASE WHEN w.wind_speed < {STRONG_WIND_MPH} THEN d.departed END) AS calm_departed,
           sum(CASE WHEN w.wind_speed < {STRONG_WIND_MPH} THEN d.delay_minutes END) AS calm_minutes,
           sum(CASE WHEN w.visib < {POOR_VISIBILITY_MILES} THEN d.departed END) AS foggy_departed,
           sum(CASE WHEN w.visib < {POOR_VISIBILITY_MILES} THEN d.delay_minutes END) AS foggy_minutes
    FROM delays d
    LEFT JOIN weather w ON w.origin = d.origin AND w.time_hour = d.time_hour
    GROUP BY d.year, d.month, d.origin
    ORDER BY d.year, d.month, d.origin
"""


def ratio(part, whole):
    return part / whole if part is not None and whole else None


def busiest_routes(routes):
    """The destination with the most flights for each month and airport; the first by name of equals."""
    busiest = {}
    for route in sorted(routes, key=lambda route: (-route["flights"], route["dest"])):
        busiest.setdefault((route["year"], route["month"], route["origin"]), route)
    return busiest


@task
def run(ctx):
    busiest = busiest_routes(ctx.table("routes"))
    rows = []
    for sums in ctx.sql(SUMS):
        route = busiest[sums["year"], sums["month"], sums["origin"]]
        rows.append(
            {
                "year": sums["year"],
                "month": sums["month"],
                "origin": sums["origin"],
                "flights": sums["flights"],
                "cancelled": sums["flights"] - sums["departed"],
                "avg_delay": ratio(sums["minutes"], sums["departed"]),
                "late_share": ratio(sums["late"], sums["departed"]),
                "avg_delay_calm": ratio(sums["calm_minutes"], sums["calm_departed"]),
                "avg_delay_windy": ratio(sums["windy_minutes"], sums["windy_departed"]),
                "avg_delay_foggy": ratio(sums["foggy_minutes"], sums["foggy_departed"]),
                "busiest_dest": route["dest"],
                "busiest_flights": route["flights"],
            }
        )
    ctx.log(
        "summarised", months=len({row["month"] for row in rows}), flights=sum(row["flights"] for row in rows)
    )
    ctx.write(rows)
