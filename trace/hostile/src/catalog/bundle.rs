//! Bundles and files: made by hand, called what they are not, changed after the deploy.

use trace_controls::Protection::*;

use crate::{
    bundles, deploys, outside,
    vector::{
        Attack::{Bundle, Outside, Shared},
        Control::{Layers, Off, Planted, Without},
        Denial, Plane, Vector, Witness, denial, saying,
    },
};

const BUNDLE: Plane = Plane::Bundle;
const ESCAPED: Witness = Witness::Look(outside::escaped);
/// By the dispatcher, when it is deployed. Where it does not examine bundles, the worker refuses to unpack them.
const REFUSED: &str = "http 422 invalid_dag";
const OUTCOME: Witness = Witness::Outcome;
const READ_ONLY: &[Denial] = &[denial("errno EROFS")];
/// By Landlock, and by the file's owner and mode, before the mount is asked.
const NOT_WRITABLE: &[Denial] = &[denial("errno EACCES")];

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    BUNDLE.vector("climbing-name", "a bundle with a file `../escaped.txt`", Bundle(bundles::climbing, ESCAPED),
        &[saying(REFUSED, "name is not allowed")], Layers(&[ExaminedBundles, BundleNames])),
    BUNDLE.vector("absolute-name", "a bundle with a file at an absolute path of the machine", Bundle(bundles::absolute, ESCAPED),
        &[saying(REFUSED, "is an absolute path")], Layers(&[ExaminedBundles, BundleNames])),
    BUNDLE.vector("bundled-link", "a bundle with a symbolic link to a file of the machine", Bundle(bundles::link, OUTCOME),
        &[saying(REFUSED, "links and devices are not allowed")], Layers(&[ExaminedBundles, BundleKinds])),
    BUNDLE.vector("bundled-device", "a bundle with a block device", Bundle(bundles::device, OUTCOME),
        &[saying(REFUSED, "links and devices are not allowed")], Layers(&[ExaminedBundles, BundleKinds])),
    BUNDLE.vector("twice-by-case", "a bundle with `main.py` and `MAIN.py`", Bundle(bundles::twice_by_case, OUTCOME),
        &[saying(REFUSED, "twice")], Layers(&[ExaminedBundles, BundleDuplicates])),
    BUNDLE.vector("twice", "a bundle with two files `main.py`", Bundle(bundles::twice, OUTCOME),
        &[saying(REFUSED, "twice")],
        Without("the same decision as `twice-by-case`; behind it the zip reader refuses by itself, and has no switch")),
    BUNDLE.vector("bomb", "a bundle of a few KiB that unpacks to 16 MiB", Bundle(bundles::bomb, OUTCOME),
        &[saying(REFUSED, "more than its size allows")], Layers(&[ExaminedBundles, BundleBounds])),
    BUNDLE.vector("entries", "a bundle with 10,002 files", Bundle(bundles::entries, OUTCOME),
        &[saying(REFUSED, "more than 10000 entries")], Layers(&[ExaminedBundles, BundleBounds])),
    BUNDLE.vector("lying-sizes", "a bundle whose headers say less than what is there", Bundle(bundles::lying, OUTCOME),
        &[saying(REFUSED, "larger than its declared")],
        Without("what is written is counted and checked by the zip reader itself, which has no switch")),
    BUNDLE.vector("no-archive", "a bundle that is no archive", Bundle(bundles::garbage, OUTCOME),
        &[saying(REFUSED, "not a readable zip archive")],
        Without("there is nothing in it that could run")),
    BUNDLE.vector("no-main", "a bundle without `main.py`", Bundle(bundles::no_main, OUTCOME),
        &[saying(REFUSED, "no `main.py` at its top")], Planted),
    BUNDLE.vector("wrong-hash", "upload content under the hash of another", Outside(deploys::wrong_hash),
        &[saying("http 400 bad_request", "its address says")], Off(UploadedHash)),
    BUNDLE.vector("missing-content", "deploy a hash that nobody has uploaded", Outside(deploys::missing),
        &[saying("http 422 invalid_dag", "has not been uploaded")], Planted),
    BUNDLE.vector("content-of-others", "deploy a hash that only another org has uploaded", Outside(deploys::of_another_org),
        &[saying("http 422 invalid_dag", "has not been uploaded")], Planted),
    BUNDLE.vector("wrong-size", "deploy content with another size than it has", Outside(deploys::wrong_size),
        &[saying("http 422 invalid_dag", "and the deploy says")], Planted),
    BUNDLE.vector("swapped-in-store", "change a bundle in the object store after the deploy", Outside(deploys::swapped),
        &[saying("outcome bundle", "is not what its hash")], Off(FetchedHash)),
    BUNDLE.vector("swapped-in-cache", "open its own code in the worker's cache for writing", Shared, NOT_WRITABLE, Planted),
    BUNDLE.vector("deleted-from-cache", "delete its own code from the worker's cache", Shared, READ_ONLY, Planted),
    BUNDLE.vector("linked-from-cache", "make a link to its own code in the worker's cache", Shared, &[denial("errno EXDEV")], Planted),
    BUNDLE.vector("swapped-file", "open a declared file, which the worker shares between tasks, for writing", Shared, NOT_WRITABLE, Planted),
];
