//! The object store: prefixes, encodings, listing, uploads, copies, signatures.

use trace_controls::Protection::*;

use crate::vector::{
    Attack::Reader,
    Control::{self, Layers, Off, Planted, Without},
    Denial, Plane, Vector, denial, saying,
};

const fn vector(
    name: &'static str,
    tries: &'static str,
    denials: &'static [Denial],
    control: Control,
) -> Vector {
    Vector { name, plane: Plane::Storage, tries, attack: Reader, denials, control }
}

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
    vector("write-sibling-attempt", "write below `a40/` as `a4`", DENIED, POLICY),
    vector("write-sibling-folder", "write below `outside/`, which begins as `out/` does", DENIED, POLICY),
    vector("write-other-case", "write to its own prefix in capitals", DENIED, POLICY),
    vector("write-other-org", "write where another org does", DENIED, POLICY),
    vector("write-root", "write elsewhere in the bucket", DENIED, POLICY),
    vector("write-pattern", "keys with `*`, `?` and `$`, which IAM reads as patterns", DENIED, POLICY),
    vector("write-policy-variable", "a key with a policy variable, below its own prefix", NO_KEY, Planted),
    vector("climb", "`..`, `.` and `//` in a path", NO_KEY, Planted),
    vector("climb-encoded", "the same in percent encodings, once and twice; control characters", NO_KEY, Planted),
    vector("climb-broken-text", "paths that are no UTF-8", &[denial("s3 400 InvalidURI")], Planted),
    vector("read-ungranted", "read an object of its own run that it has no grant for", DENIED, POLICY),
    vector("head-ungranted", "ask whether that is there", DENIED_HEAD, POLICY),
    vector("read-own-output", "read what it has written to its output, which is to be written only", DENIED, POLICY),
    vector("read-filtered-input", "credentials for an input with hidden rows and columns", ABSENT, Off(FilteredObjects)),
    vector("read-filtered-object", "read the object of that input", DENIED, POLICY),
    vector("list-everything", "list the bucket: both versions, with and without prefix and delimiter", DENIED, POLICY),
    vector("list-above", "list above its prefix, and its prefix without the slash", DENIED, POLICY),
    vector("list-sibling", "list another attempt's prefix", DENIED, POLICY),
    vector("list-from-elsewhere", "a page of its own prefix that begins before it", ABSENT,
        Without("a page holds what begins with the prefix: where it starts can only leave some out")),
    vector("list-buckets", "list the buckets", DENIED, POLICY),
    vector("list-uploads", "list the uploads of everybody", DENIED, POLICY),
    vector("head-bucket", "ask whether the bucket is there", DENIED_HEAD, POLICY),
    vector("bucket-location", "ask where the bucket is", DENIED, POLICY),
    vector("other-bucket", "write to another bucket", DENIED, Planted),
    vector("upload-elsewhere", "start an upload in parts elsewhere", DENIED, POLICY),
    vector("upload-part-elsewhere", "add to, complete, list and abort its own upload under another key", DENIED, Planted),
    vector("upload-under-other-key", "add a part under another key of its own than the upload's", &[denial("s3 404 NoSuchUpload")], Planted),
    vector("upload-of-nobody", "upload ids that are none, and paths", &[denial("s3 404 NoSuchUpload")], Planted),
    vector("list-foreign-parts", "list the parts of an upload elsewhere", DENIED, Planted),
    vector("copy-foreign", "copy an object that it may not read", DENIED, POLICY),
    vector("copy-foreign-part", "the same into a part of an upload", DENIED, POLICY),
    vector("copy-foreign-encoded", "the same with the source in percent encodings", DENIED, POLICY),
    vector("copy-climbing", "copy from a path with `..`", NO_KEY, Planted),
    vector("copy-version", "copy a version", NOT_OFFERED, Planted),
    vector("overwrite-input", "write over an object of an input after the commit", DENIED, POLICY),
    vector("add-to-input", "add an object to an input after the commit", DENIED, POLICY),
    vector("change-after-commit", "write over an object of an input, and have it read by a query", DENIED, Layers(&[SessionPolicy, ObjectPins])),
    vector("delete", "delete its own objects and others, one and many", DENIED, POLICY),
    vector("presigned-altered", "a presigned address with another key, method, end, host or signature", NO_SIGNATURE, Planted),
    vector("presigned-expired", "a presigned address past its end", DENIED, Planted),
    vector("presigned-for-long", "presigned addresses for more than a week, and for no time", &[denial("s3 400 AuthorizationQueryParametersError")], Planted),
    vector("presigned-becomes-copy", "an unsigned `x-amz-copy-source` with a presigned address", DENIED, Off(SignedHeaders)),
    vector("unsigned-header", "an unsigned `x-amz-` header", DENIED, Off(SignedHeaders)),
    vector("no-session-token", "its keys without the session token", NO_TOKEN, Off(SessionToken)),
    vector("altered-session-token", "its keys with an altered session token", NO_TOKEN, Off(SessionToken)),
    vector("altered-secret", "its keys with an altered secret", NO_SIGNATURE, Planted),
    vector("keys-of-nobody", "keys that there are not", &[denial("s3 403 InvalidAccessKeyId")], Planted),
    vector("other-scope", "signatures for another region and another service", &[denial("s3 400 AuthorizationHeaderMalformed")], Planted),
    vector("old-signature", "a signature of an hour ago", &[denial("s3 403 RequestTimeTooSkewed")], Planted),
    vector("unsigned-request", "no signature", DENIED, Planted),
    vector("signature-version-2", "a signature of version 2", NO_FORM, Off(RequestForm)),
    vector("presigned-version-2", "a presigned address of version 2", NO_FORM, Off(RequestForm)),
    vector("form-upload", "an upload by a form", NOT_OFFERED, NOTHING_THERE),
    vector("other-content", "other content than was signed", NOT_SIGNED, Planted),
    vector("forged-chunk", "a body in chunks, one with the signature of nothing", NOT_SIGNED, Planted),
    vector("altered-chunk", "a body in chunks, one with other content", NOT_SIGNED, Planted),
    vector("lying-length", "a body in chunks that is longer or shorter than it says", &[saying("s3 400 IncompleteBody", "as long as its header says")], Planted),
    vector("bucket-settings", "policy, ACL, tags, versioning, CORS, lifecycle, website of the bucket", NOT_OFFERED, NOTHING_THERE),
    vector("change-bucket-policy", "change the bucket's policy; delete it; make another", NOT_OFFERED, NOTHING_THERE),
    vector("object-settings", "ACL, tags, retention of an object", NOT_OFFERED, NOTHING_THERE),
    vector("object-acl", "write an object for everybody", NOT_OFFERED, Planted),
    vector("object-version", "read a version of an object", NOT_OFFERED, Planted),
    vector("smuggled-request", "two lengths of one body, with a request in it", &[denial("s3 400")], Planted),
];
