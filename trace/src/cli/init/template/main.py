"""Totals by customer. `ctx.sql` reads the inputs of the job; `ctx.write` keeps rows as Parquet."""

from trace_udf import task


@task
def run(ctx):
    rows = ctx.sql(
        "SELECT customer, count(*) AS orders, sum(amount) AS total "
        "FROM orders GROUP BY customer ORDER BY total DESC"
    )
    ctx.write(rows)
