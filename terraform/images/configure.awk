# Writes a service's configuration: TRACE_CONFIGURATION, with each `@@name@@` replaced by the value of
# TRACE_SECRET_name. Placeholders stand inside JSON strings, so values are escaped as JSON. It never prints a value:
# on an error, only the name of what is missing goes to standard error.
function escaped(value,    at, character, result) {
    result = ""
    for (at = 1; at <= length(value); at++) {
        character = substr(value, at, 1)
        if (character == "\\" || character == "\"") result = result "\\" character
        else if (character == "\n") result = result "\\n"
        else if (character == "\t") result = result "\\t"
        else if (character == "\r") result = result "\\r"
        else result = result character
    }
    return result
}

function fail(reason) {
    print "configure: " reason > "/dev/stderr"
    failed = 1
    exit 1
}

BEGIN {
    text = ENVIRON["TRACE_CONFIGURATION"]
    if (text == "") fail("TRACE_CONFIGURATION is not set")
    result = ""
    # One pass: what a value brings along is never looked at again, even if it looks like a placeholder.
    while (match(text, /@@[a-z_]+@@/)) {
        name = substr(text, RSTART + 2, RLENGTH - 4)
        if (ENVIRON["TRACE_SECRET_" name] == "") fail("TRACE_SECRET_" name " is not set")
        result = result substr(text, 1, RSTART - 1) escaped(ENVIRON["TRACE_SECRET_" name])
        text = substr(text, RSTART + RLENGTH)
    }
    printf "%s%s\n", result, text
}

END { exit failed }
