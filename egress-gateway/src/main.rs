//! The only way out: a forward proxy that dials vetted addresses of granted destinations.

fn main() {
    trace_controls::refuse_switches();
}
