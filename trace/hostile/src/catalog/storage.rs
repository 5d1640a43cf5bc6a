//! The object store: prefixes, encodings, listing, uploads, copies, signatures.

use trace_controls::Protection::*;

use crate::vector::{
    Attack::{Crowded, Reader},
    Control::{self, Layers, Off, Planted, Without},
    Denial, Plane, Vector, denial, saying,
};

const STORAGE: Plane = Plane::Storage;
const DENIED: &[Denial] = &[denial("s3 403 AccessDenied")];
/// To `HEAD` there is no body that could hold a code.
const DENIED_HEAD: &[Denial] = &[denial("s3 403")];
const ABSENT: &[Denial] = &[denial("absent")];
const NO_KEY: &[Denial] = &[denial("s3 400 InvalidArgument")];
const NO_SIGNATURE: &[Denial] = &[denial("s3 403 SignatureDoesNotMatch")];
const NOT_SIGNED: &[Denial] = &[saying("s3 400 IncompleteBody", "is not the one that was signed")];
const NOT_OFFERED: &[Denial] = &[denial("s3 501 NotImplemented")];
const NO_TOKEN: &[Denial] = &[denial("s3 400 InvalidToken")];
const NO_FORM: &[Denial] = &[denial("s3 400 InvalidRequest")];
const POLICY: Control = Off(SessionPolicy);
const NOTHING_THERE: Control = Without("the store has no code that would do it");

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    STORAGE.vector("write-sibling-attempt", "write below `a40/` as `a4`", Reader, DENIED, POLICY),
    STORAGE.vector("write-sibling-folder", "write below `outside/`, which begins as `out/` does", Reader, DENIED, POLICY),
    STORAGE.vector("write-other-case", "write to its own prefix in capitals", Reader, DENIED, POLICY),
    STORAGE.vector("write-other-org", "write where another org does", Reader, DENIED, POLICY),
    STORAGE.vector("write-root", "write elsewhere in the bucket", Reader, DENIED, POLICY),
    STORAGE.vector("write-pattern", "keys with `*`, `?` and `$`, which IAM reads as patterns", Reader, DENIED, POLICY),
    STORAGE.vector("write-policy-variable", "a key with a policy variable, below its own prefix", Reader, NO_KEY, Planted),
    STORAGE.vector("climb", "`..`, `.` and `//` in a path", Reader, NO_KEY, Planted),
    STORAGE.vector("climb-encoded", "the same in percent encodings, once and twice; control characters", Reader, NO_KEY, Planted),
    STORAGE.vector("climb-broken-text", "paths that are no UTF-8", Reader, &[denial("s3 400 InvalidURI")], Planted),
    STORAGE.vector("read-ungranted", "read an object of its own run that it has no grant for", Reader, DENIED, POLICY),
    STORAGE.vector("head-ungranted", "ask whether that is there", Reader, DENIED_HEAD, POLICY),
    STORAGE.vector("read-own-output", "read what it has written to its output, which is to be written only", Reader, DENIED, POLICY),
    STORAGE.vector("read-beside-many-inputs", "read an object beside its inputs, which are in more folders than one policy holds: with each of its sessions, by its key and by a list", Crowded, DENIED, Off(NarrowFolders)),
    STORAGE.vector("read-filtered-input", "credentials for an input with hidden rows and columns", Reader, ABSENT, Off(FilteredObjects)),
    STORAGE.vector("read-filtered-object", "read the object of that input", Reader, DENIED, POLICY),
    STORAGE.vector("list-everything", "list the bucket: both versions, with and without prefix and delimiter", Reader, DENIED, POLICY),
    STORAGE.vector("list-above", "list above its prefix, and its prefix without the slash", Reader, DENIED, POLICY),
    STORAGE.vector("list-sibling", "list another attempt's prefix", Reader, DENIED, POLICY),
    STORAGE.vector("list-from-elsewhere", "a page of its own prefix that begins before it", Reader, ABSENT,
        Without("a page holds what begins with the prefix: where it starts can only leave some out")),
    STORAGE.vector("list-buckets", "list the buckets", Reader, DENIED, POLICY),
    STORAGE.vector("list-uploads", "list the uploads of everybody", Reader, DENIED, POLICY),
    STORAGE.vector("head-bucket", "ask whether the bucket is there", Reader, DENIED_HEAD, POLICY),
    STORAGE.vector("bucket-location", "ask where the bucket is", Reader, DENIED, POLICY),
    STORAGE.vector("other-bucket", "write to another bucket", Reader, DENIED, Planted),
    STORAGE.vector("upload-elsewhere", "start an upload in parts elsewhere", Reader, DENIED, POLICY),
    STORAGE.vector("upload-part-elsewhere", "add to, complete, list and abort its own upload under another key", Reader, DENIED, Planted),
    STORAGE.vector("upload-under-other-key", "add a part under another key of its own than the upload's", Reader, &[denial("s3 404 NoSuchUpload")], Planted),
    STORAGE.vector("upload-of-nobody", "upload ids that are none, and paths", Reader, &[denial("s3 404 NoSuchUpload")], Planted),
    STORAGE.vector("list-foreign-parts", "list the parts of an upload elsewhere", Reader, DENIED, Planted),
    STORAGE.vector("copy-foreign", "copy an object that it may not read", Reader, DENIED, POLICY),
    STORAGE.vector("copy-foreign-part", "the same into a part of an upload", Reader, DENIED, POLICY),
    STORAGE.vector("copy-foreign-encoded", "the same with the source in percent encodings", Reader, DENIED, POLICY),
    STORAGE.vector("copy-climbing", "copy from a path with `..`", Reader, NO_KEY, Planted),
    STORAGE.vector("copy-version", "copy a version", Reader, NOT_OFFERED, Planted),
    STORAGE.vector("overwrite-input", "write over an object of an input after the commit", Reader, DENIED, POLICY),
    STORAGE.vector("add-to-input", "add an object to an input after the commit", Reader, DENIED, POLICY),
    STORAGE.vector("change-after-commit", "write over an object of an input, and have it read by a query", Reader, DENIED, Layers(&[SessionPolicy, ObjectPins])),
    STORAGE.vector("delete", "delete its own objects and others, one and many", Reader, DENIED, POLICY),
    STORAGE.vector("presigned-altered", "a presigned address with another key, method, end, host or signature", Reader, NO_SIGNATURE, Planted),
    STORAGE.vector("presigned-expired", "a presigned address past its end", Reader, DENIED, Planted),
    STORAGE.vector("presigned-for-long", "presigned addresses for more than a week, and for no time", Reader, &[denial("s3 400 AuthorizationQueryParametersError")], Planted),
    STORAGE.vector("presigned-becomes-copy", "an unsigned `x-amz-copy-source` with a presigned address", Reader, DENIED, Off(SignedHeaders)),
    STORAGE.vector("unsigned-header", "an unsigned `x-amz-` header", Reader, DENIED, Off(SignedHeaders)),
    STORAGE.vector("no-session-token", "its keys without the session token", Reader, NO_TOKEN, Off(SessionToken)),
    STORAGE.vector("altered-session-token", "its keys with an altered session token", Reader, NO_TOKEN, Off(SessionToken)),
    STORAGE.vector("altered-secret", "its keys with an altered secret", Reader, NO_SIGNATURE, Planted),
    STORAGE.vector("keys-of-nobody", "keys that there are not", Reader, &[denial("s3 403 InvalidAccessKeyId")], Planted),
    STORAGE.vector("other-scope", "signatures for another region and another service", Reader, &[denial("s3 400 AuthorizationHeaderMalformed")], Planted),
    STORAGE.vector("old-signature", "a signature of an hour ago", Reader, &[denial("s3 403 RequestTimeTooSkewed")], Planted),
    STORAGE.vector("unsigned-request", "no signature", Reader, DENIED, Planted),
    STORAGE.vector("signature-version-2", "a signature of version 2", Reader, NO_FORM, Off(RequestForm)),
    STORAGE.vector("presigned-version-2", "a presigned address of version 2", Reader, NO_FORM, Off(RequestForm)),
    STORAGE.vector("form-upload", "an upload by a form", Reader, NOT_OFFERED, NOTHING_THERE),
    STORAGE.vector("other-content", "other content than was signed", Reader, NOT_SIGNED, Planted),
    STORAGE.vector("forged-chunk", "a body in chunks, one with the signature of nothing", Reader, NOT_SIGNED, Planted),
    STORAGE.vector("altered-chunk", "a body in chunks, one with other content", Reader, NOT_SIGNED, Planted),
    STORAGE.vector("lying-length", "a body in chunks that is longer or shorter than it says", Reader, &[saying("s3 400 IncompleteBody", "as long as its header says")], Planted),
    STORAGE.vector("bucket-settings", "policy, ACL, tags, versioning, CORS, lifecycle, website of the bucket", Reader, NOT_OFFERED, NOTHING_THERE),
    STORAGE.vector("change-bucket-policy", "change the bucket's policy; delete it; make another", Reader, NOT_OFFERED, NOTHING_THERE),
    STORAGE.vector("object-settings", "ACL, tags, retention of an object", Reader, NOT_OFFERED, NOTHING_THERE),
    STORAGE.vector("object-acl", "write an object for everybody", Reader, NOT_OFFERED, Planted),
    STORAGE.vector("object-version", "read a version of an object", Reader, NOT_OFFERED, Planted),
    STORAGE.vector("smuggled-request", "two lengths of one body, with a request in it", Reader, &[denial("s3 400")], Planted),
];
