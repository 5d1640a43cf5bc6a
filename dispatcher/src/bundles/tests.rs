use std::{
    io::{Cursor, Write as _},
    sync::atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures::stream;
use zip::{ZipWriter, write::SimpleFileOptions};

use super::*;
use crate::dag::{At, Content, Place};

/// Has one content under every name, and counts how often it is asked.
struct Only(Vec<u8>, AtomicUsize);

#[async_trait]
impl BlobSource for Only {
    async fn fetch(&self, _: OrgId, blob: Blob) -> Result<Option<Spooled>, blobs::Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        let content = stream::iter([Ok::<_, std::io::Error>(Bytes::from(self.0.clone()))]);
        blobs::spool(content, blob.size).await.map(Some)
    }
}

fn archive(name: &str) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    zip.start_file(name, SimpleFileOptions::default()).unwrap();
    zip.write_all(b"pass").unwrap();
    zip.finish().unwrap().into_inner()
}

fn used(content: &[u8], language: Language) -> BlobUse {
    let blob = Blob { sha256: Sha256::of(content), size: content.len() as u64 };
    BlobUse {
        blob,
        content: Content::Bundle(Some(language)),
        place: Place { at: At { line: 5, column: 1 }, field: "jobs[0].udf.path".to_owned() },
    }
}

fn examiner(content: &[u8]) -> (Arc<Only>, Examiner) {
    let source = Arc::new(Only(content.to_vec(), AtomicUsize::new(0)));
    (Arc::clone(&source), Examiner::new(source))
}

#[tokio::test]
async fn a_good_bundle_is_fetched_once_for_each_org() {
    let good = archive("main.py");
    let (source, examiner) = examiner(&good);
    let uses = [used(&good, Language::Python), used(&good, Language::Python)];
    for org in [1, 1, 2] {
        let errors = examiner.examine(OrgId::from_db(org), uses.iter()).await.unwrap();
        assert!(errors.is_empty(), "{errors:?}");
    }
    assert_eq!(source.1.load(Ordering::SeqCst), 2);
    // The same content is no bundle of another language.
    let native = [used(&good, Language::Rust)];
    let errors = examiner.examine(OrgId::from_db(1), native.iter()).await.unwrap();
    assert!(errors[0].message.contains("no `main` at its top"), "{errors:?}");
}

#[tokio::test]
async fn a_bad_bundle_is_wrong_at_each_of_its_places_and_not_remembered() {
    let bad = archive("../main.py");
    let (source, examiner) = examiner(&bad);
    let uses = [used(&bad, Language::Python), used(&bad, Language::Python)];
    for _ in 0..2 {
        let errors = examiner.examine(OrgId::from_db(1), uses.iter()).await.unwrap();
        assert_eq!(errors.len(), 2);
        assert!(errors[0].message.contains("name is not allowed"), "{errors:?}");
        assert_eq!((errors[0].line, &*errors[0].field), (Some(5), "jobs[0].udf.path"));
    }
    assert_eq!(source.1.load(Ordering::SeqCst), 2, "once for each deploy");
}

#[tokio::test]
async fn files_are_not_examined_and_other_content_is_no_bundle() {
    let (source, examiner) = examiner(&archive("main.py"));
    let file = BlobUse { content: Content::File, ..used(b"any,data", Language::Python) };
    assert!(examiner.examine(OrgId::from_db(1), [file].iter()).await.unwrap().is_empty());
    assert_eq!(source.1.load(Ordering::SeqCst), 0);
    for called in [b"short".to_vec(), archive("main.px")] {
        let errors = examiner.examine(OrgId::from_db(1), [used(&called, Language::Python)].iter()).await;
        assert!(errors.unwrap()[0].message.contains("is something else: upload it again"));
    }
    let huge = used(b"x", Language::Python);
    let huge = BlobUse { blob: Blob { size: 1 << 29, ..huge.blob }, ..huge };
    let errors = examiner.examine(OrgId::from_db(1), [huge].iter()).await.unwrap();
    assert!(errors[0].message.contains("larger than 268435456 bytes"), "{errors:?}");
}

#[tokio::test]
async fn what_takes_too_long_is_broken_off() {
    let good = archive("main.py");
    let spooled = Only(good.clone(), AtomicUsize::new(0))
        .fetch(OrgId::from_db(1), used(&good, Language::Python).blob)
        .await
        .unwrap()
        .unwrap();
    let past = Instant::now() - Duration::from_millis(1);
    let late = look_through(&spooled, Language::Python, &Rules::at_deploy(), past);
    assert!(matches!(late, Err(Error::Slow)), "{late:?}");
}
