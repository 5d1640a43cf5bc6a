//! What an engine remembers of objects, and for whom.

use object_store::ObjectStore;
use serde_json::json;

use crate::{
    catalog::EngineCatalog,
    testing::{Warehouse, flights},
};

const SUM: &str = "SELECT sum(flight), max(origin) FROM flights";

#[tokio::test]
async fn what_was_read_is_not_read_again() {
    let mut warehouse = Warehouse::new(&[("flights", &[flights()])]).await;
    let rows = json!([[66, "JFK"]]);
    assert_eq!(warehouse.ask(SUM).await.unwrap(), rows);
    std::fs::remove_file(warehouse.folder.path().join("flights_0.parquet")).unwrap();
    assert_eq!(warehouse.ask(SUM).await.unwrap(), rows, "the engine has the bytes that were committed");
    warehouse.forget();
    assert!(warehouse.ask(SUM).await.is_err(), "another engine has not");
}

/// The blocks hold the object; a catalog without it leads nowhere near them.
#[tokio::test]
async fn blocks_are_reached_through_a_grant_only() {
    let warehouse = Warehouse::new(&[("flights", &[flights()])]).await;
    warehouse.ask(SUM).await.unwrap();
    let granted = warehouse.store(&warehouse.catalog);
    let object = &warehouse.catalog.tables.values().next().unwrap().objects[0];
    let location = granted.meta(object).location;
    assert!(granted.get_ranges(&location, std::slice::from_ref(&(0..4))).await.is_ok());
    let none = warehouse.store(&EngineCatalog::default());
    assert!(none.get_ranges(&location, std::slice::from_ref(&(0..4))).await.is_err());
    assert!(none.get_opts(&location, Default::default()).await.is_err());
}

/// A changed object has another identity, whatever lies at its key.
#[tokio::test]
async fn another_etag_is_another_object() {
    let mut warehouse = Warehouse::new(&[("flights", &[flights()])]).await;
    warehouse.ask(SUM).await.unwrap();
    let table = warehouse.catalog.tables.values_mut().next().unwrap();
    let mut objects = table.objects.to_vec();
    objects[0].etag = "another".to_owned();
    table.objects = objects.into();
    let (_, detail) = warehouse.ask(SUM).await.unwrap_err();
    assert!(detail.contains("no longer what was committed"), "{detail}");
}

#[tokio::test]
async fn ranges_that_no_object_has_are_refused() {
    let warehouse = Warehouse::new(&[("flights", &[flights()])]).await;
    let store = warehouse.store(&warehouse.catalog);
    let object = &warehouse.catalog.tables.values().next().unwrap().objects[0];
    let location = store.meta(object).location;
    #[expect(clippy::reversed_empty_ranges)]
    for beyond in [object.size..object.size + 1, 0..u64::MAX, 9..8] {
        assert!(store.get_ranges(&location, std::slice::from_ref(&beyond)).await.is_err(), "{beyond:?}");
    }
}
