use std::{collections::BTreeSet, io::Read};

use proptest::prelude::*;

use super::{uploads::UploadId, *};

struct TestStore {
    store: Store,
    root: tempfile::TempDir,
}

fn open() -> TestStore {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 64 * 1024 * 1024).unwrap();
    TestStore { store, root }
}

fn key(text: &str) -> ObjectKey {
    text.parse().unwrap()
}

impl TestStore {
    fn put(&self, at: &str, bytes: &[u8], replace: &Replace) -> Result<About> {
        let mut draft = self.store.draft()?;
        draft.write(bytes)?;
        self.store.put(&key(at), draft.finish(), Attributes::default(), replace)
    }

    fn read(&self, at: &str) -> Vec<u8> {
        let opened = self.store.get(&key(at)).unwrap();
        let mut bytes = Vec::new();
        (&opened.file).take(opened.about.size).read_to_end(&mut bytes).unwrap();
        bytes
    }

    fn drafts(&self) -> usize {
        std::fs::read_dir(self.root.path().join("drafts")).unwrap().count()
    }

    /// Every entry, page by page; folders end in `/`.
    fn list(&self, prefix: &str, grouping: Grouping, limit: usize) -> Vec<String> {
        let mut listing = Listing { prefix: prefix.to_owned(), grouping, after: String::new(), limit };
        let mut all = Vec::new();
        loop {
            let page = self.store.list(&listing).unwrap();
            all.extend(page.entries.iter().map(|entry| match entry {
                Entry::Object(key, _) => key.to_string(),
                Entry::Folder(path) => path.clone(),
            }));
            let Some(next) = page.next else { return all };
            listing.after = next;
        }
    }
}

#[test]
fn an_object_and_a_folder_of_the_same_name_live_side_by_side() {
    let store = open();
    store.put("a", b"object", &Replace::Anything).unwrap();
    store.put("a/b", b"below", &Replace::Anything).unwrap();
    store.put("a/b/c", b"deeper", &Replace::Anything).unwrap();
    assert_eq!(store.read("a"), b"object");
    assert_eq!(store.read("a/b"), b"below");
    store.store.delete(&key("a/b")).unwrap();
    assert_eq!(store.read("a/b/c"), b"deeper");
    assert!(matches!(store.store.get(&key("a/b")), Err(Error::NotFound(_))));
}

#[test]
fn the_etag_is_the_hash_of_the_bytes_and_of_nothing_else() {
    let store = open();
    let first = store.put("a", b"abc", &Replace::Anything).unwrap();
    let second = store.put("b/c", b"abc", &Replace::Anything).unwrap();
    assert_eq!(first.etag, trace_contracts::Sha256::of(b"abc").to_string());
    assert_eq!(first.etag, second.etag);
    assert_eq!(store.store.get(&key("a")).unwrap().about.etag, first.etag);
}

#[test]
fn a_reader_keeps_the_bytes_that_it_opened() {
    let store = open();
    store.put("a", b"old", &Replace::Anything).unwrap();
    let opened = store.store.get(&key("a")).unwrap();
    store.put("a", b"newer", &Replace::Anything).unwrap();
    let mut bytes = String::new();
    (&opened.file).take(opened.about.size).read_to_string(&mut bytes).unwrap();
    assert_eq!(bytes, "old");
    assert_eq!(store.read("a"), b"newer");
}

#[test]
fn conditions_decide_what_is_replaced() {
    let store = open();
    assert!(matches!(store.put("a", b"1", &Replace::Something), Err(Error::Precondition)));
    let first = store.put("a", b"1", &Replace::Nothing).unwrap();
    assert!(matches!(store.put("a", b"2", &Replace::Nothing), Err(Error::Precondition)));
    let other = Replace::Exactly("other".to_owned());
    assert!(matches!(store.put("a", b"2", &other), Err(Error::Precondition)));
    store.put("a", b"2", &Replace::Exactly(first.etag)).unwrap();
    assert_eq!(store.read("a"), b"2");
    assert_eq!(store.drafts(), 0, "what was refused leaves nothing");
}

#[test]
fn what_is_dropped_or_too_large_leaves_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), 4).unwrap();
    let mut draft = store.draft().unwrap();
    draft.write(b"1234").unwrap();
    assert!(matches!(draft.write(b"5"), Err(Error::TooLarge { limit: 4 })));
    drop(draft);
    assert_eq!(std::fs::read_dir(root.path().join("drafts")).unwrap().count(), 0);
}

#[test]
fn a_second_store_on_the_same_folder_is_refused() {
    let first = open();
    let second = Store::open(first.root.path(), 1);
    assert!(matches!(second, Err(OpenError::InUse(_))));
}

#[test]
fn half_written_files_are_removed_at_the_next_start() {
    let TestStore { store, root } = open();
    drop(store);
    std::fs::write(root.path().join("drafts/left"), b"x").unwrap();
    let store = Store::open(root.path(), 1).unwrap();
    assert_eq!(std::fs::read_dir(root.path().join("drafts")).unwrap().count(), 0);
    drop(store);
}

#[test]
fn deleting_removes_empty_folders_and_is_no_error_twice() {
    let store = open();
    store.put("a/b/c", b"x", &Replace::Anything).unwrap();
    store.put("a/d", b"x", &Replace::Anything).unwrap();
    store.store.delete(&key("a/b/c")).unwrap();
    store.store.delete(&key("a/b/c")).unwrap();
    assert!(!store.root.path().join("objects/a/b").exists());
    assert!(store.root.path().join("objects/a").exists());
}

#[test]
fn a_link_on_the_disk_leads_nowhere() {
    let store = open();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), store.root.path().join("objects/link")).unwrap();
    assert!(store.put("link/x", b"x", &Replace::Anything).is_err());
    assert!(store.store.get(&key("link/x")).is_err());
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn listing_follows_the_order_of_keys() {
    let store = open();
    for at in ["a", "a-b", "a/b", "a/c/d", "a0", "b/x", "b/y/z", "ä/1"] {
        store.put(at, b"x", &Replace::Anything).unwrap();
    }
    for limit in [1, 2, 3, 100] {
        let all = ["a", "a-b", "a/b", "a/c/d", "a0", "b/x", "b/y/z", "ä/1"];
        assert_eq!(store.list("", Grouping::Flat, limit), all);
        assert_eq!(store.list("", Grouping::Folders, limit), ["a", "a-b", "a/", "a0", "b/", "ä/"]);
        assert_eq!(store.list("a/", Grouping::Folders, limit), ["a/b", "a/c/"]);
        assert_eq!(store.list("a", Grouping::Folders, limit), ["a", "a-b", "a/", "a0"]);
        assert_eq!(store.list("b/y", Grouping::Flat, limit), ["b/y/z"]);
        assert!(store.list("c/", Grouping::Flat, limit).is_empty());
        assert!(store.list("a/b/", Grouping::Flat, limit).is_empty());
    }
}

fn parts_of(store: &TestStore, sizes: &[usize]) -> (UploadId, Vec<Claimed>) {
    let id = store.store.uploads.create(&key("a/big"), Attributes::default(), None).unwrap();
    let mut claimed = Vec::new();
    for (number, size) in (1..).zip(sizes) {
        let mut draft = store.store.draft().unwrap();
        draft.write(&vec![u8::try_from(number).unwrap(); *size]).unwrap();
        let whole = draft.finish();
        claimed.push(Claimed { number, etag: whole.etag.clone() });
        store.store.uploads.add(&key("a/big"), &id, number, whole).unwrap();
    }
    (id, claimed)
}

#[test]
fn parts_join_in_order_and_leave_nothing_behind() {
    let store = open();
    let min = usize::try_from(uploads::MIN_PART_BYTES).unwrap();
    let (id, claimed) = parts_of(&store, &[min, min + 1, 3]);
    let (draft, attributes) = store.store.join(&key("a/big"), &id, &claimed).unwrap();
    store.store.put(&key("a/big"), draft.finish(), attributes, &Replace::Anything).unwrap();
    let mut expected = vec![1; min];
    expected.extend(vec![2; min + 1]);
    expected.extend([3; 3]);
    assert!(store.read("a/big") == expected);
    assert_eq!(store.drafts(), 0);
    assert!(matches!(store.store.join(&key("a/big"), &id, &claimed), Err(Error::NoSuchUpload(_))));
}

#[test]
fn parts_that_do_not_fit_are_refused_and_the_upload_stays() {
    let store = open();
    let (id, claimed) = parts_of(&store, &[3, 3]);
    let join = |claimed: &[Claimed]| store.store.join(&key("a/big"), &id, claimed).map(drop);
    assert!(matches!(join(&[]), Err(Error::InvalidPart(1))));
    assert!(matches!(join(&claimed), Err(Error::PartTooSmall(1))));
    assert!(matches!(join(&[claimed[1].clone(), claimed[0].clone()]), Err(Error::PartOrder)));
    let wrong = Claimed { number: 1, etag: claimed[1].etag.clone() };
    assert!(matches!(join(&[wrong]), Err(Error::InvalidPart(1))));
    let missing = Claimed { number: 7, etag: claimed[1].etag.clone() };
    assert!(matches!(join(&[missing]), Err(Error::InvalidPart(7))));
    let other = store.store.join(&key("a/other"), &id, &claimed).map(drop);
    assert!(matches!(other, Err(Error::NoSuchUpload(_))), "an upload belongs to its key");
    assert!(join(&claimed[..1]).is_ok());
}

#[test]
fn an_attempts_uploads_end_with_it() {
    let store = open();
    let attempt = trace_contracts::AttemptId::from_db(1);
    let (kept, _) = parts_of(&store, &[1]);
    let id = store.store.uploads.create(&key("a/mine"), Attributes::default(), Some(attempt)).unwrap();
    let mut draft = store.store.draft().unwrap();
    draft.write(b"x").unwrap();
    store.store.uploads.add(&key("a/mine"), &id, 1, draft.finish()).unwrap();
    store.store.uploads.abort_of(attempt);
    assert!(store.store.uploads.check(&key("a/mine"), &id).is_err());
    assert!(store.store.uploads.check(&key("a/big"), &kept).is_ok());
    assert_eq!(store.drafts(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the keys, a listing by pages is the sorted set of those with the prefix.
    #[test]
    fn listing_is_the_sorted_set(
        keys in proptest::collection::btree_set("[ab!0]{1,2}(/[ab!0]{1,2}){0,2}", 1..12),
        prefix in "([ab]{1,2}/)?[ab]{0,1}",
        limit in 1_usize..4,
    ) {
        let store = open();
        for at in &keys {
            store.put(at, b"x", &Replace::Anything).unwrap();
        }
        let matching = keys.iter().filter(|key| key.starts_with(&prefix));
        let expected: Vec<_> = matching.clone().cloned().collect();
        prop_assert_eq!(store.list(&prefix, Grouping::Flat, limit), expected);
        let grouped: BTreeSet<_> = matching
            .map(|key| match key[prefix.len()..].find('/') {
                Some(slash) => key[..=prefix.len() + slash].to_owned(),
                None => key.clone(),
            })
            .collect();
        let grouped: Vec<_> = grouped.into_iter().collect();
        prop_assert_eq!(store.list(&prefix, Grouping::Folders, limit), grouped);
    }
}
