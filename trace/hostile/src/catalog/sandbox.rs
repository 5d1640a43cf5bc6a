//! The sandbox: attacks that are the whole of a task.

use trace_controls::Protection::*;

use crate::{
    outside,
    vector::{
        Attack,
        Control::{self, Layers, Off, Planted, Without},
        Denial, Plane, Task, Vector, Witness, denial, saying,
    },
};

const fn vector(
    name: &'static str,
    tries: &'static str,
    task: Task,
    denials: &'static [Denial],
    control: Control,
) -> Vector {
    Vector { name, plane: Plane::Sandbox, tries, attack: Attack::Alone(task), denials, control }
}

const fn with(memory_and_disk: &'static str) -> Task {
    Task { resources: memory_and_disk, timeout: "60s", witness: Witness::Outcome }
}

const AMPLE: &str = "{ cpu: 1, memory: 128MiB, disk: 16MiB }";

pub const VECTORS: &[Vector] = &[
    vector(
        "fill-memory",
        "fill 96 MiB of 64",
        with("{ cpu: 1, memory: 64MiB, disk: 16MiB }"),
        &[denial("outcome memory")],
        Off(MemoryLimit),
    ),
    vector(
        "fork-bomb",
        "start 80 processes where 64 are allowed",
        with(AMPLE),
        &[denial("outcome processes")],
        Off(ProcessLimit),
    ),
    vector("fill-disk", "fill 24 MiB of 16", with(AMPLE), &[denial("outcome disk")], Off(DiskLimit)),
    vector(
        "fill-files",
        "make 10,500 files where 10,000 are allowed",
        with(AMPLE),
        &[denial("outcome disk")],
        Off(FileCountLimit),
    ),
    vector(
        "outstay",
        "go on after the time limit, with signals ignored",
        Task { timeout: "2s", ..with(AMPLE) },
        &[denial("outcome timeout")],
        Off(Deadline),
    ),
    vector(
        "flood-log",
        "print 2 MiB where 1 is kept",
        Task { witness: Witness::Look(outside::flooded), ..with(AMPLE) },
        &[denial("log truncated")],
        Layers(&[LogCap, StoredLogCap]),
    ),
    vector(
        "outlive",
        "leave a process of another session behind, by a double fork",
        Task { witness: Witness::Look(outside::orphans), ..with(AMPLE) },
        &[denial("absent")],
        Planted,
    ),
    vector(
        "output-link",
        "leave a symbolic link to a file of the machine in `/out`, for the worker to upload",
        Task { witness: Witness::Look(outside::leaked), ..with(AMPLE) },
        &[saying("outcome output", "is a link")],
        Off(PlainOutputs),
    ),
    vector(
        "output-hard-link",
        "leave two names of one file in `/out`",
        with(AMPLE),
        &[saying("outcome output", "is a link")],
        Off(PlainOutputs),
    ),
    vector(
        "output-pipe",
        "leave a pipe in `/out`, for the worker to wait for",
        with(AMPLE),
        &[saying("outcome output", "neither a file nor a folder")],
        Without("links and special files are refused by one decision, which `output-link` switches off"),
    ),
];
