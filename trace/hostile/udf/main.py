"""A UDF that attacks: it tries what its order names, and tells what came of it.

It runs in Trace's sandbox only, because anywhere else nothing would stop it.
"""

import os
import sys

if os.getcwd() != "/task/bundle" or not os.path.exists("/trace/bin/trace-udf-native"):
    sys.exit("this is no sandbox of Trace's: nothing was tried")

import attempts
import holder
import on_egress
import on_files
import on_kernel
import on_limits
import on_network
import on_parquet
import on_processes
import on_sql
import on_storage
import on_tokens

MODULES = (holder, on_egress, on_files, on_kernel, on_limits, on_network, on_parquet, on_processes, on_sql, on_storage, on_tokens)

attempts.main()
