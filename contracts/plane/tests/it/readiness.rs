//! Readiness by a file.

use std::{
    fs::{self, File, FileTimes},
    future::ready,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use tokio::time::{interval, timeout};
use tokio_util::sync::CancellationToken;
use trace_plane::readiness::{self, Readiness};

async fn until(what: &str, holds: impl Fn() -> bool) {
    let looking = async {
        let mut again = interval(Duration::from_millis(5));
        while !holds() {
            again.tick().await;
        }
    };
    timeout(Duration::from_secs(20), looking).await.unwrap_or_else(|_| panic!("{what}"));
}

#[tokio::test]
async fn the_file_is_there_while_the_service_is_ready_and_gone_when_it_stops() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ready");
    fs::write(&path, "left behind by one that was killed").unwrap();
    let (is_ready, stop) = (Arc::new(AtomicBool::new(false)), CancellationToken::new());
    let (asked, kept, stopping) = (Arc::clone(&is_ready), path.clone(), stop.clone());
    let keeping = tokio::spawn(async move {
        let look = || match asked.load(Ordering::Relaxed) {
            true => ready(Readiness::Ready),
            false => ready(Readiness::NotReady),
        };
        readiness::keep_looking(kept, look, stopping, Duration::from_millis(5)).await;
    });
    until("what was left behind is removed", || !path.exists()).await;
    for _ in 0..2 {
        is_ready.store(true, Ordering::Relaxed);
        until("the file is there", || readiness::check(&path).is_ok()).await;
        is_ready.store(false, Ordering::Relaxed);
        until("the file is gone", || !path.exists()).await;
    }
    is_ready.store(true, Ordering::Relaxed);
    until("the file is there", || path.exists()).await;
    stop.cancel();
    keeping.await.unwrap();
    assert!(!path.exists(), "nothing of a service that has stopped is ready");
}

#[tokio::test]
async fn a_file_is_written_again_while_the_service_stays_ready() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ready");
    let stop = CancellationToken::new();
    let keeping = tokio::spawn(readiness::keep_looking(
        path.clone(),
        || ready(Readiness::Ready),
        stop.clone(),
        Duration::from_millis(5),
    ));
    until("the file is there", || path.exists()).await;
    age(&path, Duration::from_secs(3600));
    until("it is written again", || readiness::check(&path).is_ok()).await;
    stop.cancel();
    keeping.await.unwrap();
}

#[test]
fn a_file_that_nobody_writes_any_more_is_not_believed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ready");
    assert!(matches!(readiness::check(&path), Err(readiness::Error::Absent { .. })));
    File::create(&path).unwrap();
    assert!(readiness::check(&path).is_ok());
    age(&path, readiness::FRESH_FOR + Duration::from_secs(5));
    assert!(matches!(readiness::check(&path), Err(readiness::Error::Stale { .. })));
}

fn age(path: &Path, by: Duration) {
    let then = FileTimes::new().set_modified(SystemTime::now() - by);
    File::options().write(true).open(path).unwrap().set_times(then).unwrap();
}
