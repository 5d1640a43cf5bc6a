//! The sandbox: attacks that are the whole of a task.

use trace_controls::Protection::*;

use crate::{
    outside,
    vector::{
        Attack::Alone,
        Control::{Layers, Off, Planted, Without},
        Plane, Task, Vector, Witness, denial, saying,
    },
};

const SANDBOX: Plane = Plane::Sandbox;

const fn with(memory_and_disk: &'static str) -> Task {
    Task { resources: memory_and_disk, timeout: "60s", witness: Witness::Outcome }
}

const AMPLE: &str = "{ cpu: 1, memory: 128MiB, disk: 16MiB }";

pub const VECTORS: &[Vector] = &[
    SANDBOX.vector(
        "fill-memory",
        "fill 96 MiB of 64",
        Alone(with("{ cpu: 1, memory: 64MiB, disk: 16MiB }")),
        &[denial("outcome memory")],
        Off(MemoryLimit),
    ),
    SANDBOX.vector(
        "fork-bomb",
        "start 80 processes where 64 are allowed",
        Alone(with(AMPLE)),
        &[denial("outcome processes")],
        Off(ProcessLimit),
    ),
    SANDBOX.vector(
        "fill-disk",
        "fill 24 MiB of 16",
        Alone(with(AMPLE)),
        &[denial("outcome disk")],
        Off(DiskLimit),
    ),
    SANDBOX.vector(
        "fill-files",
        "make 10,500 files where 10,000 are allowed",
        Alone(with(AMPLE)),
        &[denial("outcome disk")],
        Off(FileCountLimit),
    ),
    SANDBOX.vector(
        "outstay",
        "go on after the time limit, with signals ignored",
        Alone(Task { timeout: "2s", ..with(AMPLE) }),
        &[denial("outcome timeout")],
        Off(Deadline),
    ),
    SANDBOX.vector(
        "flood-log",
        "print 2 MiB where 1 is kept",
        Alone(Task { witness: Witness::Look(outside::flooded), ..with(AMPLE) }),
        &[denial("log truncated")],
        Layers(&[LogCap, StoredLogCap]),
    ),
    SANDBOX.vector(
        "outlive",
        "leave a process of another session behind, by a double fork",
        Alone(Task { witness: Witness::Look(outside::orphans), ..with(AMPLE) }),
        &[denial("absent")],
        Planted,
    ),
    SANDBOX.vector(
        "output-link",
        "leave a symbolic link to a file of the machine in `/out`, for the worker to upload",
        Alone(Task { witness: Witness::Look(outside::leaked), ..with(AMPLE) }),
        &[saying("outcome output", "is a link")],
        Off(PlainOutputs),
    ),
    SANDBOX.vector(
        "output-hard-link",
        "leave two names of one file in `/out`",
        Alone(with(AMPLE)),
        &[saying("outcome output", "is a link")],
        Off(PlainOutputs),
    ),
    SANDBOX.vector(
        "output-pipe",
        "leave a pipe in `/out`, for the worker to wait for",
        Alone(with(AMPLE)),
        &[saying("outcome output", "neither a file nor a folder")],
        Without("links and special files are refused by one decision, which `output-link` switches off"),
    ),
];
