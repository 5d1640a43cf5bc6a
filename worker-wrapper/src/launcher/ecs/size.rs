//! From what a job asks for to a size that Fargate has.

use trace_contracts::wire::worker::Resources;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// What the runner itself needs beside the code.
const RUNNER_MIB: u64 = 64;
/// What an image and a bundle may take of the disk, beside the code's own.
const IMAGE_GIB: u64 = 4;
/// Fargate's own bounds of ephemeral storage that is asked for, in GiB.
const STORAGE_GIB: (u64, u64) = (21, 200);

/// A size of Fargate: thousand-and-twenty-fourths of a processor; then memory in MiB: from, to, in steps of.
const SIZES: [(u32, u64, u64, u64); 7] = [
    (256, 512, 2048, 512),
    (512, 1024, 4096, 1024),
    (1024, 2048, 8192, 1024),
    (2048, 4096, 16384, 1024),
    (4096, 8192, 30720, 1024),
    (8192, 16384, 61440, 4096),
    (16384, 32768, 122_880, 8192),
];

/// What a task is started with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    /// Thousand-and-twenty-fourths of a processor, for the task.
    pub cpu: u32,
    /// MiB, for the task.
    pub memory: u64,
    /// MiB, for the container: past that the kernel kills.
    pub container_memory: u64,
    /// GiB.
    pub storage: u64,
}

/// Fargate has nothing of that size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the job asks for more than a Fargate task can have: at most 16 processors, 120 GiB of memory and 190 GiB of disk"
)]
pub(super) struct TooLarge;

impl Size {
    /// The smallest that fits.
    pub(super) fn of(resources: &Resources) -> Result<Self, TooLarge> {
        let cpu = (u64::from(resources.cpu_millis) * 1024).div_ceil(1000);
        let container_memory = resources.memory_bytes.div_ceil(MIB) + RUNNER_MIB;
        let storage = (resources.disk_bytes.div_ceil(GIB) + IMAGE_GIB).max(STORAGE_GIB.0);
        let fits = |(units, least, most, step): (u32, u64, u64, u64)| {
            let memory = least.max(container_memory.div_ceil(step) * step);
            (u64::from(units) >= cpu && memory <= most).then_some((units, memory))
        };
        let (cpu, memory) = SIZES.into_iter().find_map(fits).ok_or(TooLarge)?;
        if storage > STORAGE_GIB.1 {
            return Err(TooLarge);
        }
        Ok(Self { cpu, memory, container_memory, storage })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_gets_the_smallest_size_that_fits() {
        let table = [
            ((100, 64, 1), Some((256, 512, 128, 21))),
            ((250, 512, 1), Some((256, 1024, 576, 21))),
            ((251, 64, 1), Some((512, 1024, 128, 21))),
            ((1000, 512, 1), Some((1024, 2048, 576, 21))),
            ((100, 8000, 30), Some((1024, 8192, 8064, 34))),
            ((100, 8192, 30), Some((2048, 9216, 8256, 34))),
            ((8000, 17000, 1), Some((8192, 20480, 17064, 21))),
            ((16000, 122_800, 196), Some((16384, 122_880, 122_864, 200))),
            ((16000, 122_880, 1), None),
            ((16001, 64, 1), None),
            ((100, 64, 197), None),
        ];
        for ((cpu_millis, memory, disk), expected) in table {
            let resources =
                Resources { cpu_millis, memory_bytes: memory * MIB, disk_bytes: disk * GIB - GIB / 2 };
            let size = Size::of(&resources).ok();
            let found = size.map(|size| (size.cpu, size.memory, size.container_memory, size.storage));
            assert_eq!(found, expected, "{cpu_millis} {memory} {disk}");
        }
    }
}
