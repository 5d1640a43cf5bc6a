"""A UDF as the platform starts it: a program of its own."""

import os
import subprocess
import sys
import unittest
from pathlib import Path

from .platform_thread import Case, reply, token

SDK = str(Path(__file__).resolve().parent.parent)
RESULT = '{"columns":[{"name":"origin","type":"Utf8"},{"name":"n","type":"Int64"}],"rows":[["JFK",7]]}'

UDF = """
from trace_udf import task

@task
def run(ctx):
    rows = ctx.sql("SELECT origin, count(*) AS n FROM flights GROUP BY origin")
    ctx.log("read", rows=len(rows))
    ctx.write(rows)
"""


class TaskTest(Case):
    def run_udf(self, code, platform=None):
        with open(self.path("main.py"), "w", encoding="utf-8") as file:
            file.write(code)
        # Nothing of this machine's site-packages, as in the sandbox.
        program = [sys.executable, "-S", "main.py"]
        env = {
            **self.env(platform),
            "PYTHONPATH": SDK,
            "PATH": os.environ["PATH"],
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        return subprocess.run(program, cwd=self.folder, env=env, capture_output=True, text=True, timeout=60)

    def test_ten_lines_make_a_useful_udf(self):
        platform = self.platform(lambda asked: token("q") if "token" in asked.line else reply(200, RESULT))
        done = self.run_udf(UDF, platform)
        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "read rows=1\n", ""))
        with open(self.path("part-0.parquet"), encoding="utf-8") as file:
            self.assertEqual(file.readlines()[1], '{"origin":"JFK","n":7}\n')

    def test_an_error_ends_with_one(self):
        done = self.run_udf("from trace_udf import task\n@task\ndef run(ctx):\n    ctx.table('x y')\n")
        self.assertEqual(done.returncode, 1)
        self.assertIn("see ctx.inputs", done.stderr)
        self.assertIn("line 4", done.stderr)

    def test_a_helper_below_the_task_is_explained(self):
        done = self.run_udf(
            "from trace_udf import task\n@task\ndef run(ctx):\n    later()\ndef later(): pass\n"
        )
        self.assertEqual(done.returncode, 1)
        if sys.version_info >= (3, 11):
            self.assertIn("put it below all that it uses", done.stderr)

    def test_an_imported_task_is_a_function(self):
        with open(self.path("udf.py"), "w", encoding="utf-8") as file:
            file.write(UDF)
        done = self.run_udf("import udf; print(callable(udf.run))")
        self.assertEqual(done.stdout, "True\n")

    def test_importing_the_sdk_costs_nearly_nothing(self):
        heavy = ["json", "socket", "http.client", "hashlib", "datetime", "subprocess", "typing", "re"]
        code = "import sys\nold = set(sys.modules)\nimport trace_udf\nnew = set(sys.modules) - old\n"
        done = self.run_udf(code + f"print(sorted(new & set({heavy})))")
        self.assertEqual(done.stdout, "[]\n")


if __name__ == "__main__":
    unittest.main()
