"""Flights and delays of every hour of a month, at each airport."""

from trace_udf import task


@task
def run(ctx):
    hours = ctx.sql("""
        SELECT year, month, origin, time_hour,
               count(*) AS flights,
               count(dep_delay) AS departed,
               sum(dep_delay) AS delay_minutes,
               sum(CASE WHEN dep_delay > 15 THEN 1 ELSE 0 END) AS late
        FROM flights
        GROUP BY year, month, origin, time_hour
        ORDER BY origin, time_hour
    """)
    ctx.log("aggregated", partition=ctx.partition, hours=len(hours), flights=sum(hours.column("flights")))
    ctx.write(hours)
