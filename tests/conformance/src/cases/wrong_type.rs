//! `WRONGTYPE`: every operation rejects a key that is not a stream.

use streamgate_protocol::error::code as codes;

use crate::fixture::{DirectRedis, Fixture, LONG_WAIT, code, pairs};

cases![
    ;
    needs_redis:
    an_add_is_rejected,
    reading_the_latest_is_rejected,
    a_read_is_rejected,
    a_waiting_read_is_rejected,
    creating_a_group_is_rejected,
    a_group_read_is_rejected,
    a_waiting_group_read_is_rejected,
    an_acknowledgement_is_rejected,
    the_key_is_unchanged,
];

/// Keys of three other types.
async fn keys(f: &Fixture, redis: &DirectRedis) -> [String; 3] {
    let keys = [f.key(), f.key(), f.key()];
    let _: String = redis
        .send(&[b"SET", keys[0].as_bytes(), b"text"])
        .await
        .unwrap();
    let _: u64 = redis
        .send(&[b"RPUSH", keys[1].as_bytes(), b"item"])
        .await
        .unwrap();
    let _: u64 = redis
        .send(&[b"HSET", keys[2].as_bytes(), b"a", b"1"])
        .await
        .unwrap();
    keys
}

/// `XADD`, with and without maxlen.
async fn an_add_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        for maxlen in [None, Some(0), Some(10)] {
            let rejected = f
                .backend
                .stream_add(&key, pairs(&[("a", "1")]), maxlen)
                .await;
            assert_eq!(code(&rejected), codes::WRONGTYPE);
        }
    }
}

/// `XREVRANGE`, even with a count of 0.
async fn reading_the_latest_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        for count in [0, 1] {
            let rejected = f.backend.stream_read_latest(&key, count).await;
            assert_eq!(code(&rejected), codes::WRONGTYPE);
        }
    }
}

/// `XREAD`.
async fn a_read_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        for id in ["0", "$", "5-5"] {
            assert_eq!(code(&f.read(&key, id).await), codes::WRONGTYPE, "{id}");
        }
    }
}

/// `XREAD BLOCK`, at once.
async fn a_waiting_read_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        for id in ["0", "$", "5-5"] {
            let rejected = f.backend.stream_read(&key, id, 1, LONG_WAIT).await;
            assert_eq!(code(&rejected), codes::WRONGTYPE, "{id}");
        }
    }
}

/// `XGROUP CREATE`.
async fn creating_a_group_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        for id in ["0", "$"] {
            let rejected = f.backend.stream_create_group(&key, "group", id).await;
            assert_eq!(code(&rejected), codes::WRONGTYPE, "{id}");
        }
    }
}

/// `XREADGROUP`.
async fn a_group_read_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        assert_eq!(
            code(&f.read_group_now(&key, "group", "consumer").await),
            codes::WRONGTYPE
        );
    }
}

/// `XREADGROUP … BLOCK`, at once.
async fn a_waiting_group_read_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        let rejected = f
            .backend
            .stream_read_group(&key, "group", "c", 1, LONG_WAIT)
            .await;
        assert_eq!(code(&rejected), codes::WRONGTYPE);
    }
}

/// `XACK`.
async fn an_acknowledgement_is_rejected(f: Fixture, redis: DirectRedis) {
    for key in keys(&f, &redis).await {
        let rejected = f
            .backend
            .stream_ack(&key, "group", &["1-1".to_owned()])
            .await;
        assert_eq!(code(&rejected), codes::WRONGTYPE);
    }
}

async fn the_key_is_unchanged(f: Fixture, redis: DirectRedis) {
    let key = f.key();
    let _: String = redis
        .send(&[b"SET", key.as_bytes(), b"text"])
        .await
        .unwrap();
    f.add(&key, "1").await.unwrap_err();
    f.backend
        .stream_create_group(&key, "group", "0")
        .await
        .unwrap_err();
    let value: String = redis.send(&[b"GET", key.as_bytes()]).await.unwrap();
    assert_eq!(value, "text");
}
