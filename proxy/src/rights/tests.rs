//! Every operation and every second name, permitted and refused.

use streamgate_protocol::message::TailStart;

use super::*;

fn role(rules: impl IntoIterator<Item = RightRule>) -> Role {
    Role::new(rules).unwrap()
}

fn rights(rules: impl IntoIterator<Item = RightRule>) -> Rights {
    let claims = |name: &str| match name {
        "sub" => Some("ann"),
        "org" => Some("acme"),
        _ => None,
    };
    Rights::compile(&[role(rules)], &claims)
}

fn rule(allow: &[Permission], streams: &[&str]) -> RightRule {
    RightRule::new(allow.iter().copied(), streams.iter().copied())
}

/// Every operation, with the permission that it needs.
fn operations(stream: &str) -> Vec<(Permission, Operation<'_>)> {
    use Permission::*;
    let group = || "g".into();
    let fields = || vec![("f".into(), "v".into())];
    let stream = || stream.into();
    vec![
        (
            Add,
            Operation::Add {
                stream: stream(),
                fields: fields(),
                maxlen: None,
            },
        ),
        (
            Add,
            Operation::IdempotentAdd {
                stream: stream(),
                fields: fields(),
                maxlen: None,
                producer: "p".into(),
                number: 1,
                after: 0,
                resent: false,
            },
        ),
        (
            Read,
            Operation::ReadLatest {
                stream: stream(),
                count: 5,
            },
        ),
        (
            Read,
            Operation::Read {
                stream: stream(),
                last_id: "0".into(),
                count: 5,
                block_ms: None,
            },
        ),
        (
            Manage,
            Operation::CreateGroup {
                stream: stream(),
                group: group(),
                id: "0".into(),
            },
        ),
        (
            Consume,
            Operation::ReadGroup {
                stream: stream(),
                group: group(),
                consumer: "c".into(),
                count: 5,
                block_ms: None,
            },
        ),
        (
            Consume,
            Operation::Ack {
                stream: stream(),
                group: group(),
                ids: vec!["1-0".into()],
            },
        ),
        (
            Consume,
            Operation::ReadPending {
                stream: stream(),
                group: group(),
                consumer: "c".into(),
                after: "0".into(),
                count: 5,
                except: vec![],
            },
        ),
        (
            Inspect,
            Operation::PendingSummary {
                stream: stream(),
                group: group(),
            },
        ),
        (
            Inspect,
            Operation::Pending {
                stream: stream(),
                group: group(),
                start: "-".into(),
                end: "+".into(),
                count: 5,
                consumer: Some("c".into()),
                min_idle_ms: None,
            },
        ),
        (
            Claim,
            Operation::Claim {
                stream: stream(),
                group: group(),
                consumer: "c".into(),
                min_idle_ms: 1,
                start: "0".into(),
                count: 5,
            },
        ),
        (
            Manage,
            Operation::RemoveConsumer {
                stream: stream(),
                group: group(),
                consumer: "c".into(),
                new_owner: "d".into(),
            },
        ),
        (
            Inspect,
            Operation::Consumers {
                stream: stream(),
                group: group(),
            },
        ),
    ]
}

fn consume(stream: &str) -> Subscription<'_> {
    Subscription::Consume {
        stream: stream.into(),
        group: "g".into(),
        consumer: "c".into(),
        batch: 10,
        claim_after_ms: None,
        max_deliveries: None,
        dead_letter: None,
        resumed: None,
        create_from: None,
        position: None,
    }
}

fn is_permitted(rights: &Rights, operation: &Operation<'_>) -> bool {
    match rights.permit_operation(&mut operation.clone(), "ann.") {
        Ok(_) => true,
        Err(error) => {
            assert_eq!(error.code(), code::NOPERM);
            false
        }
    }
}

fn is_subscribed(rights: &Rights, mut subscription: Subscription<'_>) -> bool {
    rights.permit_subscription(&mut subscription).is_ok()
}

#[test]
fn an_operation_is_permitted_by_its_permission_alone() {
    for (needed, operation) in operations("orders") {
        for permission in Permission::ALL {
            let rights = rights([rule(&[permission], &["orders"])]);
            let permitted = is_permitted(&rights, &operation);
            assert_eq!(
                permitted,
                permission == needed,
                "{permission}: {operation:?}"
            );
        }
        let all = rights([rule(&Permission::ALL, &["other", "order"])]);
        assert!(!is_permitted(&all, &operation), "{operation:?}");
        assert!(!is_permitted(&Rights::default(), &operation));
        assert!(is_permitted(&Rights::everything(), &operation));
    }
}

#[test]
fn a_repeated_operation_is_decided_as_by_itself() {
    let trimming = |stream: &'static str| {
        let add = |(_, operation)| match operation {
            Operation::Add { stream, fields, .. } => Some(Operation::Add {
                stream,
                fields,
                maxlen: Some(3),
            }),
            _ => None,
        };
        operations(stream).into_iter().filter_map(add)
    };
    let plain = |stream| {
        operations(stream)
            .into_iter()
            .map(|(_, operation)| operation)
    };
    let mut bounded = rule(&[Permission::Add, Permission::Read], &["t"]);
    (bounded.maxlen, bounded.max_count) = (Some(9), Some(2));
    bounded.prefix = Some("tenant:".to_owned());
    let rights = rights([
        rule(&[Permission::Add], &["s"]),
        rule(&[Permission::Read], &["s*"]),
        bounded,
    ]);
    let all: Vec<_> = ["s", "s2", "t", "u"]
        .into_iter()
        .flat_map(|stream| plain(stream).chain(trimming(stream)))
        .collect();
    let mut last = LastPermit::default();
    for first in &all {
        for second in &all {
            for operation in [first, second, second] {
                let (mut by_itself, mut repeated) = (operation.clone(), operation.clone());
                let expected = rights.permit_operation(&mut by_itself, "ann.").is_ok();
                let decided = rights.permit_repeated(&mut repeated, "ann.", &mut last);
                assert_eq!((decided.is_ok(), repeated), (expected, by_itself));
            }
        }
    }
}

#[test]
fn names_of_the_server_are_refused_to_all() {
    for all in [
        rights([rule(&Permission::ALL, &["*"])]),
        Rights::everything(),
    ] {
        for (_, operation) in operations("streamgate:once:x") {
            assert!(!is_permitted(&all, &operation), "{operation:?}");
        }
        assert!(!is_subscribed(&all, consume("streamgate:revoked")));
    }
}

#[test]
fn no_prefix_makes_a_name_of_the_server() {
    for (prefix, stream) in [
        ("{org}:", "once:x"),
        ("stream", "gate:once:x"),
        ("streamgate", ":once:x"),
    ] {
        let mut right = rule(&Permission::ALL, &["*"]);
        right.prefix = Some(prefix.to_owned());
        let claims = |name: &str| (name == "org").then_some("streamgate");
        let rights = Rights::compile(&[role([right])], &claims);
        for (_, operation) in operations(stream) {
            assert!(
                !is_permitted(&rights, &operation),
                "{prefix}: {operation:?}"
            );
        }
    }
}

#[test]
fn groups_and_consumers_are_checked_too() {
    let mut right = rule(&Permission::ALL, &["orders"]);
    right.groups = vec!["g".to_owned()];
    right.consumers = vec!["c*".to_owned()];
    let of_group = |group: &str| {
        let mut right = right.clone();
        right.groups = vec![group.to_owned()];
        rights([right])
    };
    for (_, operation) in operations("orders") {
        let has_group = !matches!(
            operation,
            Operation::Add { .. }
                | Operation::IdempotentAdd { .. }
                | Operation::Read { .. }
                | Operation::ReadLatest { .. }
        );
        assert_eq!(is_permitted(&of_group("other"), &operation), !has_group);
        // Its new owner is `d`.
        let permitted = !matches!(operation, Operation::RemoveConsumer { .. });
        assert_eq!(
            is_permitted(&of_group("g"), &operation),
            permitted,
            "{operation:?}"
        );
    }
}

#[test]
fn the_second_names_of_a_consumer_need_rights_of_their_own() {
    use Permission::{Add, Claim, Consume, Manage};
    let only = |permissions: &[Permission]| rights([rule(permissions, &["orders"])]);
    let with = |change: fn(&mut Subscription<'_>)| {
        let mut subscription = consume("orders");
        change(&mut subscription);
        subscription
    };
    assert!(is_subscribed(&only(&[Consume]), consume("orders")));
    let claims = || {
        with(|s| {
            if let Subscription::Consume { claim_after_ms, .. } = s {
                *claim_after_ms = Some(1);
            }
        })
    };
    assert!(!is_subscribed(&only(&[Consume]), claims()));
    assert!(is_subscribed(&only(&[Consume, Claim]), claims()));
    let creates = || {
        with(|s| {
            if let Subscription::Consume { create_from, .. } = s {
                *create_from = Some("0".into());
            }
        })
    };
    assert!(!is_subscribed(&only(&[Consume]), creates()));
    assert!(is_subscribed(&only(&[Consume, Manage]), creates()));
    let buries = || {
        with(|s| {
            if let Subscription::Consume { dead_letter, .. } = s {
                *dead_letter = Some("dead".into());
            }
        })
    };
    assert!(!is_subscribed(&only(&[Consume, Add]), buries()));
    let both = rights([rule(&[Consume], &["orders"]), rule(&[Add], &["dead"])]);
    assert!(is_subscribed(&both, buries()));
}

#[test]
fn a_tail_needs_the_right_to_read() {
    let tail = || Subscription::Tail {
        stream: "orders".into(),
        from: TailStart::Now {},
    };
    for permission in Permission::ALL {
        let rights = rights([rule(&[permission], &["orders"])]);
        assert_eq!(
            is_subscribed(&rights, tail()),
            permission == Permission::Read
        );
    }
}

#[test]
fn a_prefix_is_put_before_every_stream() {
    let mut right = rule(&Permission::ALL, &["*"]);
    right.prefix = Some("tenant:{org}:".to_owned());
    let rights = rights([right.clone()]);
    for (_, mut operation) in operations("orders") {
        rights.permit_operation(&mut operation, "ann.").unwrap();
        assert_eq!(operation.stream()[..], b"tenant:acme:orders"[..]);
        if let Operation::IdempotentAdd { producer, .. } = &operation {
            assert_eq!(&**producer, "ann.p");
        }
    }
    let mut subscription = consume("orders");
    if let Subscription::Consume { dead_letter, .. } = &mut subscription {
        *dead_letter = Some("dead".into());
    }
    rights.permit_subscription(&mut subscription).unwrap();
    let Subscription::Consume {
        stream,
        dead_letter,
        ..
    } = subscription
    else {
        unreachable!();
    };
    assert_eq!(stream[..], b"tenant:acme:orders"[..]);
    assert_eq!(dead_letter.unwrap()[..], b"tenant:acme:dead"[..]);

    let nobody = |_: &str| None;
    let none = Rights::compile(&[role([right])], &nobody);
    assert!(
        !is_permitted(&none, &operations("orders")[0].1),
        "no claim, no right"
    );
}

#[test]
fn rights_with_different_prefixes_do_not_mix() {
    let mut consume_right = rule(&[Permission::Consume], &["orders"]);
    consume_right.prefix = Some("a:".to_owned());
    let mut add_right = rule(&[Permission::Add], &["dead"]);
    add_right.prefix = Some("b:".to_owned());
    let mut subscription = consume("orders");
    if let Subscription::Consume { dead_letter, .. } = &mut subscription {
        *dead_letter = Some("dead".into());
    }
    assert!(!is_subscribed(
        &rights([consume_right, add_right]),
        subscription
    ));
}

#[test]
fn maxlen_is_forced_and_counts_have_a_ceiling() {
    let mut right = rule(&Permission::ALL, &["*"]);
    let free = rights([right.clone()]);
    (right.maxlen, right.max_count) = (Some(100), Some(3));
    let bound = rights([right]);
    for (mut asked, forced, unforced) in [
        (None, 100, None),
        (Some(0), 100, Some(1)),
        (Some(7), 100, Some(7)),
    ] {
        let add = |maxlen| Operation::Add {
            stream: "s".into(),
            fields: vec![("f".into(), "v".into())],
            maxlen,
        };
        let mut operation = add(asked);
        bound.permit_operation(&mut operation, "").unwrap();
        assert_eq!(operation, add(Some(forced)));
        let mut operation = add(asked.take());
        free.permit_operation(&mut operation, "").unwrap();
        assert_eq!(operation, add(unforced));
    }
    let read = |count| Operation::Read {
        stream: "s".into(),
        last_id: "0".into(),
        count,
        block_ms: None,
    };
    for (asked, granted) in [(0, 3), (1, 1), (3, 3), (9, 3)] {
        let mut operation = read(asked);
        bound.permit_operation(&mut operation, "").unwrap();
        assert_eq!(operation, read(granted));
    }
    let mut latest = Operation::ReadLatest {
        stream: "s".into(),
        count: 0,
    };
    bound.permit_operation(&mut latest, "").unwrap();
    assert_eq!(
        latest,
        Operation::ReadLatest {
            stream: "s".into(),
            count: 0
        }
    );
}

#[test]
fn only_with_a_right_to_trim_may_a_client_choose_a_maxlen() {
    use Permission::{Add, Trim};
    let add = |maxlen| Operation::Add {
        stream: "s".into(),
        fields: vec![("f".into(), "v".into())],
        maxlen,
    };
    let adds = || rule(&[Add], &["*"]);
    let only_adds = rights([adds()]);
    assert!(is_permitted(&only_adds, &add(None)));
    assert!(!is_permitted(&only_adds, &add(Some(1))));
    let elsewhere = rights([adds(), rule(&[Trim], &["t"])]);
    assert!(!is_permitted(&elsewhere, &add(Some(1))));
    assert!(is_permitted(
        &rights([adds(), rule(&[Trim], &["s"])]),
        &add(Some(1))
    ));
    let mut forced = adds();
    forced.maxlen = Some(100);
    let mut operation = add(Some(1));
    rights([forced])
        .permit_operation(&mut operation, "")
        .unwrap();
    assert_eq!(operation, add(Some(100)));
}

/// Returns what remains of an add and of a consumer with a dead-letter stream, by rights in this
/// order.
fn applied(rules: Vec<RightRule>) -> (Operation<'static>, Subscription<'static>, DeadLetterTerms) {
    let rights = rights(rules);
    let mut add = Operation::Add {
        stream: "s".into(),
        fields: vec![("f".into(), "v".into())],
        maxlen: None,
    };
    rights.permit_operation(&mut add, "").unwrap();
    let mut consume = buries("s", "dead");
    let (_, dead_letters) = rights.permit_subscription(&mut consume).unwrap();
    (add, consume, dead_letters)
}

fn buries<'a>(stream: &'a str, dead: &'a str) -> Subscription<'a> {
    let mut subscription = consume(stream);
    if let Subscription::Consume { dead_letter, .. } = &mut subscription {
        *dead_letter = Some(dead.into());
    }
    subscription
}

#[test]
fn the_order_of_rights_and_roles_has_no_meaning() {
    let with = |prefix: Option<&str>, maxlen, max_count, streams: &str| {
        let mut right = rule(&Permission::ALL, &[streams]);
        right.prefix = prefix.map(str::to_owned);
        (right.maxlen, right.max_count) = (maxlen, max_count);
        right
    };
    let rules = [
        with(Some("b:"), None, None, "*"),
        with(Some("a:"), Some(9), None, "*"),
        with(Some("a:"), Some(7), Some(3), "s"),
        with(Some("a:"), None, Some(5), "*"),
        // It does not satisfy the dead letters.
        with(None, None, None, "other"),
    ];
    let expected = applied(rules.to_vec());
    let Operation::Add { stream, maxlen, .. } = &expected.0 else {
        unreachable!();
    };
    assert_eq!((&stream[..], *maxlen), (&b"a:s"[..], Some(7)));
    assert_eq!(
        expected.2.maxlen,
        Some(9),
        "the one of the dead-letter stream"
    );
    for first in 0..rules.len() {
        for second in 0..rules.len() {
            let mut rules = rules.to_vec();
            rules.swap(first, second);
            assert_eq!(applied(rules), expected, "{first} and {second}");
        }
    }
}

#[test]
fn a_prefix_that_satisfies_all_needs_is_found_wherever_it_stands() {
    let with = |prefix: &str, allow: &[Permission]| {
        let mut right = rule(allow, &["*"]);
        right.prefix = Some(prefix.to_owned());
        right
    };
    use Permission::{Add, Consume};
    let only_consumes = with("a:", &[Consume]);
    let rules = [only_consumes, with("b:", &[Consume]), with("b:", &[Add])];
    for rotation in 0..rules.len() {
        let mut rules = rules.to_vec();
        rules.rotate_left(rotation);
        let mut subscription = buries("s", "dead");
        let permitted = rights(rules).permit_subscription(&mut subscription);
        assert_eq!(permitted.unwrap().1.stream.as_deref(), Some(&b"s"[..]));
        let expected = buries("b:s", "b:dead");
        assert_eq!(subscription, expected);
    }
}

#[test]
fn what_lasts_is_checked_again_with_its_own_prefix() {
    let with = |prefix: &str| {
        let mut right = rule(&[Permission::Read], &["*"]);
        right.prefix = Some(prefix.to_owned());
        right
    };
    let mut tail = Subscription::Tail {
        stream: "s".into(),
        from: TailStart::Now {},
    };
    let (needs, _) = rights([with("b:")]).permit_subscription(&mut tail).unwrap();
    let needs = needs.unwrap();
    assert!(
        rights([with("a:"), with("b:")])
            .still_permit(&needs)
            .is_ok()
    );
    assert!(
        rights([with("b:"), with("a:")])
            .still_permit(&needs)
            .is_ok()
    );
    assert!(rights([with("a:")]).still_permit(&needs).is_err());
    assert!(
        rights([rule(&[Permission::Read], &["*"])])
            .still_permit(&needs)
            .is_err()
    );
}

#[test]
fn a_refusal_names_operation_and_stream_and_nothing_else() {
    let long = "x".repeat(200);
    let mut read = Operation::ReadLatest {
        stream: (&*long).into(),
        count: 1,
    };
    let error = Rights::default()
        .permit_operation(&mut read, "")
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("read_latest") && text.contains(&"x".repeat(64)),
        "{text}"
    );
    assert!(!text.contains(&"x".repeat(65)), "{text}");
}

#[test]
fn invalid_roles_are_refused_with_the_place() {
    let mut no_streams = rule(&[Permission::Read], &[]);
    for (change, word) in [
        (rule(&[], &["s"]), "allow"),
        (no_streams.clone(), "streams"),
        (rule(&[Permission::Read], &["a*b"]), "`*`"),
    ] {
        let error = Role::new([rule(&[Permission::Read], &["s"]), change]).unwrap_err();
        assert_eq!(error.right, 2);
        assert!(error.to_string().contains(word), "{error}");
    }
    no_streams.streams = vec!["s".to_owned()];
    no_streams.maxlen = Some(0);
    assert!(Role::new([no_streams.clone()]).is_err());
    no_streams.maxlen = None;
    no_streams.prefix = Some("streamgate:x".to_owned());
    assert!(Role::new([no_streams]).is_err());
}
