//! A DAG whose jobs follow one another.

use std::{fmt::Write as _, fs, io, path::Path};

/// The DAG.
pub const NAME: &str = "chain";

/// Imports the SDK, as every UDF does, and does nothing.
const UDF: &str = "\
from trace_udf import task


@task
def run(ctx):
    pass
";

/// Writes `chain.yaml` with this many jobs, and their UDF, to `folder`.
pub fn write(folder: &Path, jobs: usize) -> io::Result<()> {
    fs::create_dir_all(folder.join("nothing"))?;
    fs::write(folder.join("nothing/main.py"), UDF)?;
    fs::write(folder.join("chain.yaml"), yaml(jobs))
}

fn yaml(jobs: usize) -> String {
    let mut yaml = format!("name: {NAME}\njobs:\n");
    for job in 0..jobs {
        let _to_memory =
            write!(yaml, "  - name: {}\n    udf: {{ language: python, path: nothing }}\n", name(job));
        if let Some(before) = job.checked_sub(1) {
            let _to_memory =
                writeln!(yaml, "    inputs: [{{ name: before, from: {{ job: {} }} }}]", name(before));
        }
    }
    yaml
}

/// Sorted by name is sorted by place.
fn name(job: usize) -> String {
    format!("hop_{job:04}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_job_reads_the_one_before() {
        assert_eq!(
            yaml(2),
            "name: chain\njobs:\n  - name: hop_0000\n    udf: { language: python, path: nothing }\n  \
             - name: hop_0001\n    udf: { language: python, path: nothing }\n    \
             inputs: [{ name: before, from: { job: hop_0000 } }]\n"
        );
    }
}
