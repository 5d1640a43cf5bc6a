//! Random capabilities, and keys in and around what they grant.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use chrono::Utc;
use proptest::prelude::*;
use trace_contracts::{
    AttemptId, Audience, Capability, DatasetId, DatasetVersionId, Grants, InputGrant, Manifest,
    ManifestObject, OrgId, PartitionKey, RowFilter, RunId, S3Prefix, Sha256, TaskId,
    grant::{Budgets, FilterValue},
    token::{CAPABILITY_TYPE, CapabilityClaims},
};
use trace_dispatcher::{
    credentials::{ManifestPrefixes, Packed, StoreNames, policy::prefixes_of, session_policies},
    keys::SigningKey,
};

pub const BUCKET: &str = "trace";
/// Keys of one case.
const MAX_KEYS: usize = 200;
const ISSUER: &str = "https://dispatcher.test";

/// How much of an input may be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    Everything,
    SomeRows,
    SomeColumns,
}

/// A capability with the manifests that it names.
#[derive(Debug, Clone)]
pub struct Case {
    pub capability: Capability,
    pub manifests: BTreeMap<Sha256, Manifest>,
    /// Of inputs that may be seen whole.
    pub readable: BTreeSet<S3Prefix>,
    /// Objects of inputs of which some rows or columns are hidden.
    pub hidden: BTreeSet<String>,
    pub packed: Packed,
    /// Objects that are read by address: those of the manifests in folders that are left.
    pub by_address: BTreeSet<String>,
}

/// What may be wanted of a key, or of a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Want {
    Read,
    Write,
    Abort,
    ListParts,
    Delete,
    List,
    ListUploads,
}

impl Want {
    pub const ALL: [Self; 7] =
        [Self::Read, Self::Write, Self::Abort, Self::ListParts, Self::Delete, Self::List, Self::ListUploads];
}

impl Case {
    /// What the capability itself says, by [`S3Prefix`] alone. `left` has folders of which only the
    /// manifest's own objects may be read, each by its address.
    pub fn allows(&self, want: Want, key: &str) -> bool {
        let Grants { output, scratch, .. } = self.capability.grants();
        let within = |prefix: &S3Prefix| prefix.bucket() == BUCKET && key.starts_with(prefix.key_prefix());
        let written = within(output) || within(scratch);
        let reached = |prefix: &&S3Prefix| !self.packed.left.contains(*prefix);
        match want {
            Want::Read => {
                within(scratch)
                    || self.readable.iter().filter(reached).any(within)
                    || self.by_address.contains(key)
            }
            Want::Write | Want::Abort | Want::ListParts => written,
            Want::List => {
                let mut listed = self.readable.iter().filter(reached).chain([output, scratch]);
                listed.any(|prefix| prefix.key_prefix() == key)
            }
            Want::Delete | Want::ListUploads => false,
        }
    }

    /// Keys in, beside, above and below everything that is granted, and not granted.
    pub fn keys(&self) -> BTreeSet<String> {
        let Grants { output, scratch, .. } = self.capability.grants();
        let mut keys = BTreeSet::from([String::new(), "x".to_owned(), "data/o1/".to_owned()]);
        keys.extend(self.hidden.iter().take(50).cloned());
        let objects = self.manifests.values().flat_map(|manifest| &manifest.objects);
        keys.extend(objects.take(200).map(|object| object.key.to_string()));
        keys.extend(self.by_address.iter().take(20).cloned());
        let left = self.packed.left.iter().take(10);
        for prefix in self.readable.iter().take(30).chain(left).chain([output, scratch]) {
            let folder = prefix.key_prefix();
            let bare = folder.trim_end_matches('/');
            let parent = bare.rsplit_once('/').map_or("", |(parent, _)| parent);
            keys.extend([folder.to_owned(), bare.to_owned(), format!("{parent}/"), format!("{parent}/x")]);
            keys.extend([format!("{folder}x"), format!("{folder}a/b*c"), format!("{folder}x$?")]);
            keys.extend([
                format!("{bare}0/x"),
                format!("{bare}0/"),
                format!("{bare}x"),
                format!("{bare}*/x"),
            ]);
            keys.extend([
                format!("x{folder}x"),
                format!("/{folder}x"),
                format!("{}x", folder.to_uppercase()),
            ]);
            keys.insert(format!("{}x", folder.to_lowercase()));
            for (special, other) in [('*', "xy"), ('?', "z"), ('$', ""), ('$', "${$}"), ('*', "${*}")] {
                keys.insert(format!("{}x", folder.replace(special, other)));
            }
        }
        // Of very many, some of each kind.
        let every = keys.len() / MAX_KEYS + 1;
        keys.into_iter().step_by(every).collect()
    }
}

/// A capability as its task would show it, with these grants.
fn capability(grants: Grants) -> Capability {
    static KEY: LazyLock<SigningKey> = LazyLock::new(|| {
        let folder = tempfile::tempdir().unwrap();
        SigningKey::open(&folder.path().join("keys")).unwrap()
    });
    let now = Utc::now().timestamp();
    let claims = CapabilityClaims {
        iss: ISSUER.to_owned(),
        aud: Audience::Dispatcher,
        sub: TaskId::in_run(RunId::from_db(17), 12).unwrap(),
        attempt: AttemptId::from_db(40),
        org: OrgId::from_db(1),
        jti: uuid::Uuid::new_v4(),
        iat: now,
        nbf: now,
        exp: now + 600,
        grants,
    };
    let token = KEY.token(CAPABILITY_TYPE, &claims).unwrap();
    Capability::verify(&token, &KEY.key_set().unwrap(), ISSUER, Audience::Dispatcher).unwrap()
}

/// Names that look alike, differ in case, or mean something to IAM, a URL or a file system.
fn segment() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec!["t1", "t10", "T1", "t1x", "t*", "t?", "t$", "$*", "*", "a b", "ä", "日本"])
            .prop_map(ToOwned::to_owned),
        1 => "[a-bA-B01$*?'()+=@,:~!_ -]{1,8}".prop_filter("a name", |name| !name.trim().is_empty() && name.trim() == name),
    ]
}

/// A folder that an upstream attempt wrote, and the names of its objects.
type Written = ([String; 3], BTreeSet<String>);

fn written() -> impl Strategy<Value = Written> {
    let names = prop::collection::btree_set(segment().prop_map(|name| format!("{name}.parquet")), 1..4);
    ([segment(), segment(), segment()], names)
}

/// An input: what its upstream attempts wrote, and how much of it may be seen.
fn input(attempts: std::ops::Range<usize>) -> impl Strategy<Value = (Vec<Written>, Sight)> {
    let sight =
        prop_oneof![4 => Just(Sight::Everything), 1 => Just(Sight::SomeRows), 1 => Just(Sight::SomeColumns)];
    (prop::collection::vec(written(), attempts), sight)
}

/// Random capabilities, some with more inputs than sessions reach.
pub fn cases() -> impl Strategy<Value = Case> {
    cases_in(StoreNames::default())
}

/// The same for a store with these names.
pub fn cases_in(store: StoreNames) -> impl Strategy<Value = Case> {
    let inputs = prop_oneof![
        5 => prop::collection::vec(input(1..4), 0..6),
        1 => prop::collection::vec(input(120..200), 1..3),
    ];
    (segment(), segment(), segment(), inputs).prop_map(move |(top, output, scratch, inputs)| {
        let own = |kind: &str, name: &str| format!("s3://{BUCKET}/own/{top}/{kind}{name}/").parse().unwrap();
        case(&store, own("", &output), own("s/", &scratch), inputs)
    })
}

fn case(store: &StoreNames, output: S3Prefix, scratch: S3Prefix, inputs: Vec<(Vec<Written>, Sight)>) -> Case {
    let (mut manifests, mut granted) = (BTreeMap::new(), BTreeMap::new());
    let (mut readable, mut hidden) = (BTreeSet::new(), BTreeSet::new());
    for (at, (written, sight)) in inputs.into_iter().enumerate() {
        let (folders, manifest) = manifest(written);
        let sha256 = Manifest::digest(&manifest.to_canonical_json());
        granted.insert(format!("input_{at}").parse().unwrap(), grant(sha256, sight));
        if sight == Sight::Everything {
            readable.extend(folders);
            manifests.insert(sha256, manifest);
        } else {
            hidden.extend(manifest.objects.iter().map(|object| object.key.to_string()));
        }
    }
    let inputs = granted;
    let capability =
        capability(Grants { inputs, output, scratch, egress: Vec::new(), budgets: Budgets::default() });
    let prefixes: ManifestPrefixes = manifests
        .iter()
        .map(|(sha256, manifest)| (*sha256, prefixes_of(&capability, manifest).unwrap()))
        .collect();
    let packed = session_policies(store, &capability, &prefixes).unwrap();
    let keys = manifests.values().flat_map(|manifest| &manifest.objects).map(|object| object.key.to_string());
    let is_left = |key: &String| packed.left.iter().any(|folder| key.starts_with(folder.key_prefix()));
    let by_address = keys.filter(is_left).collect();
    Case { capability, manifests, readable, hidden, packed, by_address }
}

fn manifest(written: Vec<Written>) -> (Vec<S3Prefix>, Manifest) {
    let (mut folders, mut objects) = (Vec::new(), Vec::new());
    for ([run, task, attempt], names) in written {
        let folder: S3Prefix = format!("s3://{BUCKET}/data/o1/{run}/{task}/{attempt}/out/").parse().unwrap();
        objects.extend(names.iter().map(|name| ManifestObject {
            partition: PartitionKey::whole(),
            key: folder.object(name).unwrap(),
            size: 7,
            etag: "e".to_owned(),
            version_id: None,
        }));
        folders.push(folder);
    }
    (folders, Manifest::new(BUCKET.to_owned(), objects))
}

fn grant(manifest: Sha256, sight: Sight) -> InputGrant {
    let rows = || RowFilter(BTreeMap::from([("station".to_owned(), FilterValue::Int(1))]));
    InputGrant {
        dataset: DatasetId::from_db(1),
        version: DatasetVersionId::from_db((1 << 20) + 1),
        manifest,
        partition: None,
        columns: (sight == Sight::SomeColumns).then(|| vec!["station".to_owned()]),
        row_filter: (sight == Sight::SomeRows).then(rows),
    }
}
