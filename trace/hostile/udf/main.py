"""A UDF that attacks: it tries what its order names, and tells what came of it.

It runs in Trace's sandbox only, because anywhere else nothing would stop it.
"""

import os
import sys

if os.getcwd() != "/task/bundle" or not os.path.exists("/trace/bin/trace-udf-native"):
    sys.exit("this is no sandbox of Trace's: nothing was tried")

import attempts
import on_files
import on_kernel
import on_limits
import on_network
import on_processes

MODULES = (on_files, on_kernel, on_limits, on_network, on_processes)

attempts.main()
