//! What a plane makes of the dispatcher's answers.

use axum::{Json, Router, routing::post};
use serde_json::json;
use tokio::net::TcpListener;
use trace_contracts::{ErrorCode, Problem, Secret, wire::plane::UserResolution};
use trace_plane::{PlaneClient, Refusal};

/// What a plane tells a user where the dispatcher answers this.
async fn told(dispatcher: Router) -> Refusal {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap()).parse().unwrap();
    tokio::spawn(async move { axum::serve(listener, dispatcher).await });
    let client = PlaneClient::new(url, Secret::new("plane".to_owned()));
    client.resolve_user(&Secret::new("a user's token".to_owned())).await.unwrap_err()
}

#[tokio::test]
async fn a_user_is_told_of_their_own_refusal_and_of_no_plane_s() {
    const PATH: &str = "/internal/users/resolve";
    for code in [ErrorCode::Forbidden, ErrorCode::Unauthenticated, ErrorCode::TokenExpired] {
        let refused = Problem::new(code, "your account is suspended");
        let dispatcher =
            Router::new().route(PATH, post(|| async { Json(UserResolution::Refused { refused }) }));
        let refusal = told(dispatcher).await;
        assert_eq!((refusal.code(), &*refusal.problem().detail), (code, "your account is suspended"));
    }
    let identity = || async { Refusal::new(ErrorCode::Forbidden, "this token is not that of a plane") };
    let refusal = told(Router::new().route(PATH, post(identity))).await;
    assert_eq!(refusal.code(), ErrorCode::Unavailable, "it is the plane that may not");
    let strange = || async { Json(json!({ "user": "nobody" })) };
    assert_eq!(told(Router::new().route(PATH, post(strange))).await.code(), ErrorCode::Internal);
}
