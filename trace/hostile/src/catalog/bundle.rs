//! Bundles and files: made by hand, called what they are not, changed after the deploy.

use trace_controls::Protection::*;

use crate::{
    bundles, deploys, outside,
    scene::Scene,
    vector::{
        Attack,
        Control::{self, Off, Planted, Without},
        Denial, Plane, Vector, Witness, denial, saying,
    },
};

const fn unpacked(
    name: &'static str,
    tries: &'static str,
    make: fn(&Scene<'_>) -> Vec<u8>,
    witness: Witness,
    denials: &'static [Denial],
    control: Control,
) -> Vector {
    Vector { name, plane: Plane::Bundle, tries, attack: Attack::Bundle(make, witness), denials, control }
}

const fn vector(
    name: &'static str,
    tries: &'static str,
    attack: Attack,
    denials: &'static [Denial],
    control: Control,
) -> Vector {
    Vector { name, plane: Plane::Bundle, tries, attack, denials, control }
}

const ESCAPED: Witness = Witness::Look(outside::escaped);
const OUTCOME: Witness = Witness::Outcome;
const READ_ONLY: &[Denial] = &[denial("errno EROFS")];
/// By Landlock, and by the file's owner and mode, before the mount is asked.
const NOT_WRITABLE: &[Denial] = &[denial("errno EACCES")];

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    unpacked("climbing-name", "a bundle with a file `../escaped.txt`", bundles::climbing, ESCAPED,
        &[saying("outcome bundle", "name is not allowed")], Off(BundleNames)),
    unpacked("absolute-name", "a bundle with a file at an absolute path of the machine", bundles::absolute, ESCAPED,
        &[saying("outcome bundle", "is an absolute path")], Off(BundleNames)),
    unpacked("bundled-link", "a bundle with a symbolic link to a file of the machine", bundles::link, OUTCOME,
        &[saying("outcome bundle", "links and devices are not allowed")], Off(BundleKinds)),
    unpacked("bundled-device", "a bundle with a block device", bundles::device, OUTCOME,
        &[saying("outcome bundle", "links and devices are not allowed")], Off(BundleKinds)),
    unpacked("twice-by-case", "a bundle with `main.py` and `MAIN.py`", bundles::twice_by_case, OUTCOME,
        &[saying("outcome bundle", "twice")], Off(BundleDuplicates)),
    unpacked("twice", "a bundle with two files `main.py`", bundles::twice, OUTCOME,
        &[saying("outcome bundle", "twice")],
        Without("the same decision as `twice-by-case`; behind it the zip reader refuses by itself, and has no switch")),
    unpacked("bomb", "a bundle of a few KiB that unpacks to 16 MiB", bundles::bomb, OUTCOME,
        &[saying("outcome bundle", "more than its size allows")], Off(BundleBounds)),
    unpacked("entries", "a bundle with 10,002 files", bundles::entries, OUTCOME,
        &[saying("outcome bundle", "more than 10000 entries")], Off(BundleBounds)),
    unpacked("lying-sizes", "a bundle whose headers say less than what is there", bundles::lying, OUTCOME,
        &[saying("outcome bundle", "larger than its declared")],
        Without("what is written is counted and checked by the zip reader itself, which has no switch")),
    unpacked("no-archive", "a bundle that is no archive", bundles::garbage, OUTCOME,
        &[saying("outcome bundle", "not a readable zip archive")],
        Without("there is nothing in it that could run")),
    vector("wrong-hash", "upload content under the hash of another", Attack::Outside(deploys::wrong_hash),
        &[saying("http 400 bad_request", "its address says")], Off(UploadedHash)),
    vector("missing-content", "deploy a hash that nobody has uploaded", Attack::Outside(deploys::missing),
        &[saying("http 422 invalid_dag", "has not been uploaded")], Planted),
    vector("content-of-others", "deploy a hash that only another org has uploaded", Attack::Outside(deploys::of_another_org),
        &[saying("http 422 invalid_dag", "has not been uploaded")], Planted),
    vector("wrong-size", "deploy content with another size than it has", Attack::Outside(deploys::wrong_size),
        &[saying("http 422 invalid_dag", "and the deploy says")], Planted),
    vector("swapped-in-store", "change a bundle in the object store after the deploy", Attack::Outside(deploys::swapped),
        &[saying("outcome bundle", "is not what its hash")], Off(FetchedHash)),
    vector("swapped-in-cache", "open its own code in the worker's cache for writing", Attack::Shared, NOT_WRITABLE, Planted),
    vector("deleted-from-cache", "delete its own code from the worker's cache", Attack::Shared, READ_ONLY, Planted),
    vector("linked-from-cache", "make a link to its own code in the worker's cache", Attack::Shared, &[denial("errno EXDEV")], Planted),
    vector("swapped-file", "open a declared file, which the worker shares between tasks, for writing", Attack::Shared, NOT_WRITABLE, Planted),
];
